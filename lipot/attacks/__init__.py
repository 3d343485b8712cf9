"""In-graph attacks used while training."""

from lipot.attacks.base import Attack
from lipot.attacks.fgsm import FGSM
from lipot.attacks.pgd import PGD
from lipot.attacks.trades_pgd import TRADESPGD

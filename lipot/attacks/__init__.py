"""In-graph attacks: those used while training, and AutoAttack, which measures."""

from lipot.attacks.auto_attack import AutoAttack, AutoAttackResult, Victim
from lipot.attacks.base import Attack
from lipot.attacks.fgsm import FGSM
from lipot.attacks.pgd import PGD
from lipot.attacks.trades_pgd import TRADESPGD

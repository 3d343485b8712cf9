"""AutoAttack, compiled with the model it attacks."""

from lipot.attacks.auto_attack.auto_attack import AutoAttack
from lipot.attacks.auto_attack.sequence import STANDS, WRONG, AutoAttackResult
from lipot.attacks.auto_attack.victim import Victim

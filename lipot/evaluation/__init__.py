"""Attacks on trained models beyond ART's own, as ART evasion attacks."""

from lipot.evaluation.code_attack import CodeAttack
from lipot.evaluation.ngopt_attack import NGOptCarlini

"""How robust a trained model is: attack suites, their reports, and attacks beyond ART's own."""

from lipot.evaluation.code_attack import CodeAttack
from lipot.evaluation.evaluation import STANDS, WRONG, Evaluation, Verdict
from lipot.evaluation.ngopt_attack import NGOptCarlini
from lipot.evaluation.report import RobustnessReport

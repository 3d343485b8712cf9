"""How robust a trained model is: attack suites, their reports, and attacks beyond ART's own."""

import lipot.interop.art  # Before ART itself, whose first import it keeps quiet.
from lipot.attacks.auto_attack import STANDS, WRONG
from lipot.evaluation.code_attack import CodeAttack
from lipot.evaluation.compare import compare
from lipot.evaluation.evaluate import evaluate
from lipot.evaluation.evaluation import Evaluation, Verdict
from lipot.evaluation.ngopt_attack import NGOptCarlini
from lipot.evaluation.report import RobustnessReport
from lipot.evaluation.suite import ATTACKS, SUITES, AttackSpec

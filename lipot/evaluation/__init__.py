"""How robust a trained model is: attack suites, their reports, and attacks beyond ART's own."""

import lipot.interop.art  # Before ART itself, whose first import it keeps quiet.
from lipot.attacks.auto_attack import STANDS, WRONG
from lipot.evaluation.attacks.code import CodeAttack
from lipot.evaluation.attacks.ngopt import NGOptCarlini
from lipot.evaluation.attacks.spec import AttackSpec
from lipot.evaluation.attacks.suite import ATTACKS, SUITES
from lipot.evaluation.compare import compare
from lipot.evaluation.evaluate import evaluate
from lipot.evaluation.record.report import RobustnessReport
from lipot.evaluation.record.result import Evaluation, Verdict

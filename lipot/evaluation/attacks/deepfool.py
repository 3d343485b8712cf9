"""The nearest boundary of the linearized model, step by step."""

from art.attacks.evasion import DeepFool

from lipot.evaluation.attacks.spec import EVERY_POINT, STANDARD, AttackSpec


def _build(target, norm, eps, *, steps):
    # A small overshoot: the crossing is to be found, not passed by two percent.
    return DeepFool(target, max_iter=steps, epsilon=1e-3, batch_size=EVERY_POINT, verbose=False)


SPEC = AttackSpec("deepfool", _build, {"steps": 50}, (2, "inf"), cost=500, suites=STANDARD)

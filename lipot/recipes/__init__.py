"""Ready-made trainings: from a data set and a method's name to a trained Keras model."""

from lipot.recipes.adversarial import (
    train_fgsm_at,
    train_got_trades_lm,
    train_otjr,
    train_pgd_at,
)
from lipot.recipes.certified import train_certified
from lipot.recipes.certified_choices import Candidate
from lipot.recipes.defaults import default_eps, default_radius, spread
from lipot.recipes.hkr import hkr_network, train_hkr
from lipot.recipes.linf_dist import linf_distance_network, train_linf_dist
from lipot.recipes.networks import plain_classifier
from lipot.recipes.ot_classifier import train_ot_classifier
from lipot.recipes.otad import train_otad

METHODS = {
    "hkr": train_hkr,
    "certified": train_certified,
    "fgsm-at": train_fgsm_at,
    "pgd-at": train_pgd_at,
    "got-trades-lm": train_got_trades_lm,
    "otjr": train_otjr,
    "ot-classifier": train_ot_classifier,
    "otad": train_otad,
    "linf-dist": train_linf_dist,
}

"""OTAD on MNIST with the paper's setting: tables I, II, III, XII, XIII and figure 2.

    python -m benchmarks.otad.mnist [--parts NAME ...] [--points 1000] [--quick]

Trains the 5-block residual network and its plain twin (kept under runs/otad), then measures part
by part; every part is stored when done, and a run that is started again goes on. The paper
estimates robust accuracies on 1000 test points; `--points`, `--square-points` and
`--ngopt-points` say how many here.
"""

import argparse
from functools import partial

import keras
import numpy as np

import lipot
from benchmarks.common import NEAR
from benchmarks.otad import parts as shared
from lipot import backend, datasets
from lipot.math.steepness import steepest_change
from lipot.models import OTAD, NearestMean, plain_network, transport_resnet

SHAPE = (28, 28, 1)
SMOOTHNESSES = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0)
PARTS = (
    "backbone",
    "standard accuracy",
    "neighbors",
    "gradients",
    "square",
    "ngopt",
    "sweep",
    "plain",
    "certificate",
)


def main():
    options = arguments()
    data = datasets.load("mnist")
    if options.quick:
        data = data._replace(
            x_train=data.x_train[:3000],
            y_train=data.y_train[:3000],
            x_test=data.x_test[:200],
            y_test=data.y_test[:200],
        )
    store = shared.store_of("mnist", options, beside=("parts",))
    store.run_all(Measurements(data, options), options.parts)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--square-points", type=int, default=200)
    parser.add_argument("--ngopt-points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.points = 2, 20
        options.square_points = options.ngopt_points = 8
    return options


class Measurements:
    """The parts of this benchmark, over one data set and its trained networks.

    Args:
        data: `Dataset`.
        options: Parsed arguments.
    """

    def __init__(self, data, options):
        self.data, self.options = data, options
        self.steps = 5 if options.quick else 100
        self.queries = {
            "square": 20 if options.quick else 2000,
            "plain": 20 if options.quick else 500,
        }
        self.budget = 20 if options.quick else 850
        self._networks = {}

    def of(self, part):
        """Pairs of a label and a function of a part, the smallest unit to store."""
        units = {
            "backbone": {"backbone": self.backbone},
            "standard accuracy": {"standard accuracy": self.standard},
            "neighbors": {
                f"K = {count}": partial(self.against_nearest_mean, count) for count in (5, 10, 15)
            },
            "gradients": {
                f"gradient attacks, eps = {eps}": partial(self.gradients, eps)
                for eps in (1.0, 2.0, 3.0)
            },
            "square": {
                f"Square, eps = {eps}": partial(self.square, "resnet", eps) for eps in (2.0, 3.0)
            },
            "ngopt": {
                f"NGOpt, sigma = {sigma}": partial(self.ngopt, sigma) for sigma in (0.1, 0.15, 0.2)
            },
            "sweep": {f"L - l = {value}": partial(self.sweep, value) for value in SMOOTHNESSES},
            "plain": {
                f"{kind}, Square with 500 queries": partial(self.twin, kind)
                for kind in ("resnet", "plain")
            },
            "certificate": {"certificate": self.certificate},
        }
        return units[part].items()

    def backbone(self):
        network = self.network("resnet")
        resnet = self.steepness(network.get_layer("backbone"))
        return {
            "test accuracy": shared.accuracy(network, self.data.x_test, self.data.y_test),
            "train accuracy": shared.accuracy(
                network, self.data.x_train[:10000], self.data.y_train[:10000]
            ),
            "local Lipschitz constant": resnet,
        }

    def standard(self):
        model, x = self.otad("resnet"), self.test(self.options.points)[0]
        behind = model.neighborhoods(x)
        return {
            "accuracy": shared.accuracy(model, self.data.x_test, self.data.y_test),
            "relative error": round(float(np.mean(model.relative_error(x))), 4),
            "feasible": round(float(np.mean(behind.feasible)), 4),
            "median relaxation steps": float(np.median(behind.steps)),
        }

    def against_nearest_mean(self, count):
        x, y = self.data.x_test, self.data.y_test
        return {
            "OTAD": shared.accuracy(self.otad("resnet", neighbors=count), x, y),
            "KNN": shared.accuracy(self.otad("resnet", NearestMean, neighbors=count), x, y),
        }

    def gradients(self, eps):
        model, (x, y) = self.otad("resnet"), self.test(self.options.points)
        attacks = shared.gradient_attacks(model, SHAPE, eps, steps=self.steps)
        right = {"clean": shared.right(model, x, y)}
        for name, attack in attacks.items():
            right[name] = shared.right(model, attack.generate(x, y), y)
        network = self.network("resnet")
        surrogate = shared.gradient_attacks(model, SHAPE, eps, steps=self.steps)["BPDA + PGD"]
        figures = {name: shared.in_percent(rows) for name, rows in right.items()}
        figures["worst of these"] = shared.in_percent(np.all(list(right.values()), axis=0))
        figures["backbone alone, on the BPDA points"] = shared.attacked_accuracy(
            network, x, y, surrogate
        )
        return figures

    def square(self, kind, eps, queries=None):
        model, (x, y) = self.otad(kind), self.test(self.options.square_points)
        attack = shared.square_attack(eps, queries=queries or self.queries["square"])
        return {"accuracy": shared.in_percent(attack.run(model, x, y).stands)}

    def ngopt(self, sigma):
        model, (x, y) = self.otad("resnet"), self.test(self.options.ngopt_points)
        attacked = shared.ngopt_attack(model, SHAPE, sigma, budget=self.budget).generate(x, y)
        moved = np.linalg.norm((attacked - x).reshape(len(x), -1), axis=1)
        found = moved > 0
        clean = shared.right(model, x, y)
        return {
            "accuracy": shared.accuracy(model, attacked, y),
            NEAR: shared.in_percent(clean & ~(found & (moved <= 3.0))),
            "mean norm where found": round(float(np.mean(moved[found])), 3)
            if found.any()
            else None,
        }

    def sweep(self, smoothness):
        model, (x, y) = self.otad("resnet", smoothness=smoothness), self.test(self.options.points)
        attack = shared.gradient_attacks(model, SHAPE, 3.0, steps=self.steps)["BPDA + PGD"]
        few = x[: max(1, len(x) // 5)]
        return {
            "standard accuracy": shared.accuracy(model, x, y),
            "BPDA + PGD, eps = 3": shared.attacked_accuracy(model, x, y, attack),
            "local Lipschitz constant": round(float(np.mean(model.local_lipschitz(few))), 3),
            "relative error": round(float(np.mean(model.relative_error(x))), 4),
        }

    def twin(self, kind):
        return {
            "test accuracy": shared.accuracy(
                self.network(kind), self.data.x_test, self.data.y_test
            ),
            "standard accuracy": shared.accuracy(
                self.otad(kind), self.data.x_test, self.data.y_test
            ),
            "Square, eps = 3": self.square(kind, 3.0, self.queries["plain"])["accuracy"],
        }

    def certificate(self):
        model, (x, y) = self.otad("resnet"), self.test(self.options.points)
        certificate = lipot.certify(model, x, y)
        behind = certificate.neighbors
        return {
            "median radius of the set": round(float(np.median(behind.set_radius)), 4),
            "median radius of the margin": round(float(np.median(behind.margin_radius)), 4),
            **{
                f"certified at {e}": shared.in_percent(certificate.accuracy(e))
                for e in (0.01, 0.05, 0.1)
            },
        }

    def network(self, kind):
        """The trained network: flatten, backbone, head."""
        if kind not in self._networks:
            name = f"mnist_{kind}{'_quick' if self.options.quick else ''}_{self.options.epochs}"
            self._networks[kind] = shared.trained(name, lambda: build(kind), self.train)
        return self._networks[kind]

    def train(self, network):
        keras.utils.set_random_seed(self.options.seed)
        batch = 128
        steps = self.options.epochs * (len(self.data.x_train) // batch + 1)
        rate = keras.optimizers.schedules.CosineDecay(0.02, steps)
        network.compile(
            keras.optimizers.SGD(rate, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        network.fit(
            self.data.x_train,
            self.data.y_train,
            batch_size=batch,
            epochs=self.options.epochs,
            verbose=2,
        )

    def otad(self, kind, model_class=OTAD, *, neighbors=10, **settings):
        network = self.network(kind)
        model = model_class(
            network.get_layer("backbone"),
            network.get_layer("head"),
            neighbors,
            embedding=keras.layers.Flatten(),
            **settings,
        )
        return model.adapt(self.data.x_train, batch_size=1000)

    def test(self, count):
        return shared.some(self.data.x_test, self.data.y_test, count, self.options.seed)

    def steepness(self, backbone):
        """Mean steepest change of the backbone at a distance of 0.3."""
        x = self.test(self.options.points)[0].reshape(-1, 784)
        start = np.random.default_rng(0).normal(size=x.shape).astype("float32")
        start *= 0.3 / np.linalg.norm(start, axis=1, keepdims=True)
        run = backend.compile_over(
            backbone, lambda forward, x, shift: steepest_change(forward, x, shift, 10)
        )
        return round(float(np.mean(np.asarray(run(x, start)))), 3)


def build(kind):
    """Builds flatten, the backbone of 5 blocks and a linear head."""
    backbone = transport_resnet(784) if kind == "resnet" else plain_network(784)
    backbone = keras.Sequential([keras.Input((784,)), *backbone.layers], name="backbone")
    head = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)], name="head")
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), backbone, head])


if __name__ == "__main__":
    main()

"""OTAD-T and OTAD-T-NN on CIFAR-10: tables VI, VII, IX, X, XI and XII at the size two cores allow.

    python -m benchmarks.otad.cifar10 [--parts NAME ...] [--epochs 7] [--quick]

The network is the paper's, 6 blocks of width 256 with 8 heads on 64 patches; it trains in bfloat16
and answers in float32. Fewer epochs than the paper's, 20,000 stored points of 50,000 and 100
attacked test points are what two cores allow. Each metric is compared with itself before it was
trained. Trained networks are kept under runs/otad, trainings go on from their last epoch, and every
part is stored when done, so that a run that is started again goes on.
"""

import argparse
import time
from functools import partial

import keras
import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common.networks import fast_precision
from benchmarks.otad import parts as shared
from lipot import datasets
from lipot.evaluation.attacks.code import CodeAttack
from lipot.losses import TripletLoss
from lipot.models import (
    OTAD,
    CIPNet,
    InterpolationData,
    NearestMean,
    metric_attention,
    metric_cnn,
    metric_resnet,
    metric_transformer,
    transport_transformer,
)

SHAPE = (32, 32, 3)
EPS = 0.5
TRUE_GRADIENT = "PGD, true gradient"
METRICS = {
    "resnet": metric_resnet,
    "cnn": metric_cnn,
    "transformer": metric_transformer,
    "attention": metric_attention,
}
PARTS = ("network", "metrics", "solvers", "time", "neighbors")


def main():
    options = arguments()
    data = datasets.load("cifar10")
    data = data._replace(
        x_train=data.x_train[: options.train], y_train=data.y_train[: options.train]
    )
    store = shared.store_of("cifar10", options, beside=("parts",))
    store.run_all(Measurements(data, options), options.parts)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--metric-epochs", type=int, default=6)
    parser.add_argument("--solver-points", type=int, default=4000)
    parser.add_argument("--solver-epochs", type=int, default=4)
    parser.add_argument("--train", type=int, default=50_000)
    parser.add_argument("--stored", type=int, default=20_000, help="points that answers use")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.width, options.blocks, options.train, options.points = 16, 1, 300, 4
        options.epochs = options.metric_epochs = options.solver_epochs = 1
        options.solver_points, options.steps, options.stored = 32, 2, 300
    return options


class Measurements:
    """The parts of this benchmark, over one data set and its trained networks.

    Args:
        data: `Dataset`.
        options: Parsed arguments.
    """

    def __init__(self, data, options):
        self.data, self.options = data, options
        sizes = (options.width, options.blocks, options.train, options.epochs, options.seed)
        self.tag = "_".join(map(str, sizes))

    def of(self, part):
        """Pairs of a label and a function of a part, the smallest unit to store."""
        units = {
            "network": {"network": self.network_alone},
            "metrics": {f"metric {name}": partial(self.with_metric, name) for name in METRICS},
            "solvers": {
                f"CIPNet, alpha = {alpha}": partial(self.with_cip_net, alpha)
                for alpha in (1.0, 0.5, 0.0)
            },
            "time": {"seconds a query": self.seconds},
            "neighbors": {
                f"l2, K = {count}": partial(self.without_metric, count) for count in (5, 10, 15)
            },
        }
        return units[part].items()

    def network_alone(self):
        accuracy = shared.accuracy(self.network(), self.data.x_test, self.data.y_test)
        return {"test accuracy": accuracy, "note": self.data.note}

    def without_metric(self, count):
        """Table XII: L = 12, neighbors by the l2 distance of the embeddings."""
        x, y = self.test(5 * self.options.points)
        return {
            "OTAD-T": shared.accuracy(self.otad(neighbors=count, smoothness=12.0), x, y, 50),
            "KNN": shared.accuracy(self.otad(NearestMean, neighbors=count), x, y, 50),
        }

    def with_metric(self, name):
        """Tables VI and VII: delta 1, attacks on the answer and on the metric."""
        model = self.with_delta(name)
        metric = model.metric
        x, y = self.test(self.options.points)
        figures = self.attacked(model) if name in ("resnet", "attention") else self.clean(model)
        figures["neighbors' vote"] = self.vote(metric)
        figures["neighbors' vote, untrained"] = self.vote(self.untrained_metric(name))
        codes = CodeAttack(
            shared.estimator_of(model, SHAPE),
            metric,
            eps=EPS,
            eps_step=5.0 * EPS / self.options.steps,
            max_iter=self.options.steps,
        )
        figures["DML attack"] = shared.attacked_accuracy(model, x, y, codes)
        return figures

    def with_cip_net(self, alpha):
        """Tables X and XI: trained on OTAD-T with attention, then answering in its place."""
        model = self.with_delta("attention")
        net = self.cip_net(model, alpha)
        figures = {"relative error of CIPNet": self.relative_error(net, model)}
        # The paper names ResNet, and attacks through the network alone, with alpha 1 only.
        if alpha != 1.0:
            return figures | {"attention": self.attacked(model.with_solver(net), TRUE_GRADIENT)}
        figures["attention"] = self.attacked(model.with_solver(net))
        figures["resnet"] = self.attacked(self.with_delta("resnet").with_solver(net))
        return figures

    def attacked(self, model, *names):
        """Accuracy, and that under the gradient attacks of some names, or under all."""
        x, y = self.test(self.options.points)
        attacks = shared.gradient_attacks(
            model, SHAPE, EPS, steps=self.options.steps, batch_size=50
        )
        return self.clean(model) | {
            name: shared.attacked_accuracy(model, x, y, attacks[name]) for name in names or attacks
        }

    def seconds(self):
        """Table IX: mean seconds a query with the exact solution and with CIPNet."""
        model = self.with_delta("resnet")
        fast = model.with_solver(CIPNet(10))
        x, _ = self.test(64)
        figures = {}
        for name, answer in (("OTAD-T", model), ("OTAD-T-NN", fast)):
            answer.predict(x, batch_size=32, verbose=0)
            rounds = []
            for _ in range(3):
                started = time.perf_counter()
                answer.predict(x, batch_size=32, verbose=0)
                rounds.append((time.perf_counter() - started) / len(x))
            figures[name] = float(np.median(rounds))
        return figures

    def clean(self, model):
        """Accuracy on five times the attacked points, and on those."""
        few, more = self.test(self.options.points), self.test(5 * self.options.points)
        return {
            "standard accuracy": shared.accuracy(model, *more, 50),
            "on the attacked points": shared.accuracy(model, *few, 50),
        }

    def vote(self, metric):
        """Accuracy of the majority of 10 neighbors among the codes of all training images."""
        x, y = self.test(1000)
        of_data, of_test = (metric.predict(part, 500, verbose=0) for part in (self.data.x_train, x))
        found = KNeighborsClassifier(10).fit(of_data, self.data.y_train)
        return shared.in_percent(found.score(of_test, y))

    def network(self):
        options = self.options

        def build():
            return transport_transformer(
                SHAPE, width=options.width, blocks=options.blocks, heads=8, dropout=0.1
            ).network

        def compile_it(network):
            steps = options.epochs * (len(self.data.x_train) // 128 + 1)
            rate = keras.optimizers.schedules.CosineDecay(
                1e-4, steps, warmup_target=1e-3, warmup_steps=min(400, steps // 4)
            )
            network.compile(
                keras.optimizers.AdamW(rate, weight_decay=0.05),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )

        return self.trained(f"cifar10_{self.tag}", build, compile_it, options.epochs)

    def metric(self, name):
        epochs = self.options.metric_epochs
        return self.trained(
            f"cifar10_metric_{name}_{epochs}_{self.tag}",
            lambda: self.untrained_metric(name),
            lambda network: network.compile(keras.optimizers.AdamW(1e-3), TripletLoss(0.5)),
            epochs,
        )

    def untrained_metric(self, name):
        keras.utils.set_random_seed(self.options.seed)
        size = {"filters": 32} if name == "resnet" else {}
        if name in ("transformer", "attention"):
            size = {"width": self.options.width, "heads": 8}
        return METRICS[name](SHAPE, **size)

    def trained(self, name, build, compile_it, epochs):
        """A network from this machine's cache, or one that trains a twin in half precision."""

        def seeded():
            keras.utils.set_random_seed(self.options.seed)
            return build()

        def train(network):
            with fast_precision():
                twin = seeded()
            compile_it(twin)
            batches = FlippedBatches(self.data.x_train, self.data.y_train, self.options.seed)
            backup = keras.callbacks.BackupAndRestore(shared.RUNS / f"{name}_backup")
            twin.fit(batches, epochs=epochs, verbose=2, callbacks=[backup])
            network.set_weights(twin.get_weights())

        return shared.trained(name, seeded, train)

    def cip_net(self, model, alpha):
        """A CIPNet from this machine's cache, or one that trains on exact solutions."""
        options = self.options
        points = self.data.x_train[: options.solver_points]

        def build():
            keras.utils.set_random_seed(options.seed)
            return CIPNet(10, heads=8, width=min(256, 2 * options.width))

        def train(net):
            net.compile(keras.optimizers.AdamW(5e-4), "mse")
            solutions = InterpolationData(model, points, alpha=alpha, batch_size=32)
            net.fit(solutions, epochs=options.solver_epochs, verbose=2)

        sizes = (options.solver_points, options.solver_epochs, alpha)
        return shared.trained(f"cifar10_cip_{'_'.join(map(str, sizes))}_{self.tag}", build, train)

    def relative_error(self, net, model):
        """Mean squared error of a CIPNet, relative to the squared length of the solutions."""
        inputs, exact, _ = model.without_itself(self.data.x_train[:64], batch_size=32)
        found = net.predict(inputs, batch_size=32, verbose=0)
        error = np.sum((found - exact) ** 2, axis=1) / np.sum(exact**2, axis=1)
        return round(float(np.mean(error)), 4)

    def with_delta(self, name):
        """The OTAD of a metric, whose steps delta of smoothness and convexity are 1."""
        return self.otad(metric=self.metric(name), smoothness_step=1.0, convexity_step=1.0)

    def otad(self, model_class=OTAD, *, neighbors=10, **settings):
        network = self.network()
        model = model_class(
            network.get_layer("backbone"),
            network.get_layer("head"),
            neighbors,
            embedding=network.get_layer("embedding"),
            **settings,
        )
        return model.adapt(self.data.x_train[: self.options.stored], batch_size=500)

    def test(self, count):
        return shared.some(self.data.x_test, self.data.y_test, count, self.options.seed)


class FlippedBatches(keras.utils.PyDataset):
    """Shuffled batches of images, each mirrored with probability one half.

    Args:
        x: Images.
        y: Labels.
        seed: Seed of order and mirroring.
        batch_size: Images in a batch.
    """

    def __init__(self, x, y, seed, batch_size=128):
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(x))

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        flip = self.rng.random(len(rows)) < 0.5
        images = np.where(flip[:, None, None, None], self.x[rows][:, :, ::-1], self.x[rows])
        return images, self.y[rows]

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


if __name__ == "__main__":
    main()

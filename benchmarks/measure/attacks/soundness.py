"""Attacks a certified MNIST model inside its certified radii: no prediction may change.

    LIPOT_DATA_DIR=... python -m benchmarks.measure.attacks.soundness [--points 500] [--share 0.99]

Run `benchmarks.measure.training.hkr_mnist` first: it writes the model. PGD is confined to each
point's own ball; what CW and DeepFool find is measured: a success counts against the certificate
where its distance is inside the share of the radius. Each found example is also pulled back to the
share of the radius and tried again there.
"""

import argparse

import keras
import numpy as np
from art.attacks.evasion import CarliniL2Method, DeepFool

import lipot
from benchmarks.common import write_result
from lipot.backend import compile_over, value_and_input_gradient

MODEL = "runs/hkr_mnist/0.keras"


def ball_pgd(model, x, predictions, radius, steps=100):
    """l2 PGD on the margin, each point in a ball of its own radius (a tensor, not one eps)."""
    ops = keras.ops
    one_hot = ops.one_hot(predictions, model.output_shape[-1])
    size = ops.reshape(ops.convert_to_tensor(radius, "float32"), (-1, 1, 1, 1))
    x = ops.convert_to_tensor(x)

    def norm(v):
        return ops.sqrt(ops.sum(v * v, axis=(1, 2, 3), keepdims=True)) + 1e-12

    def gradient(forward, points):
        def margin(v):
            logits = forward(v)
            top = ops.sum(logits * one_hot, axis=-1)
            return ops.sum(top - ops.max(logits - 1e9 * one_hot, axis=-1))

        return value_and_input_gradient(margin, points)[1]

    step = compile_over(model, gradient)
    noise = keras.random.normal(ops.shape(x), seed=0)
    delta = size * noise / norm(noise)
    for _ in range(steps):
        slope = step(ops.clip(x + delta, 0.0, 1.0))
        delta = delta - 0.05 * size * slope / norm(slope)
        delta = delta * ops.minimum(size / norm(delta), 1.0)
        delta = ops.clip(x + delta, 0.0, 1.0) - x
    return ops.convert_to_numpy(x + delta)


def violations(model, x, adversarial, certificate, share):
    """Counts changed predictions among points within `share` of their certified radius."""
    x64, moved = x.astype("float64"), adversarial.astype("float64")
    shift = moved - x64
    length = np.sqrt((shift**2).sum((1, 2, 3)))
    allowed = share * certificate.radius
    pulled = x64 + shift * np.minimum(1.0, allowed / np.maximum(length, 1e-12))[:, None, None, None]
    changed = 0
    for points in (moved, pulled):
        points = points.astype("float32")
        distance = np.sqrt(((points.astype("float64") - x64) ** 2).sum((1, 2, 3)))
        inside = distance <= np.maximum(allowed, 0.0) + 1e-7
        classes = model.predict(points, verbose=0).argmax(-1)
        changed += int(np.sum(inside & (classes != certificate.predictions)))
    return {"changed": changed, "median_distance": float(np.median(length))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    data = lipot.datasets.load("mnist")
    model = keras.models.load_model(MODEL, safe_mode=True)
    x, y = data.x_test[: arguments.points], data.y_test[: arguments.points]
    certificate = lipot.certify(model, x, y)
    estimator = lipot.interop.art.classifier(model, clip_values=(0.0, 1.0))
    attacks = {
        "PGD, 100 steps": lambda: ball_pgd(
            model, x, certificate.predictions, arguments.share * certificate.radius
        ),
        "CW": lambda: CarliniL2Method(
            estimator,
            batch_size=250,
            initial_const=10.0,
            learning_rate=0.1,
            max_iter=60,
            binary_search_steps=5,
            verbose=False,
        ).generate(x),
        "DeepFool": lambda: DeepFool(estimator, batch_size=250, verbose=False).generate(x),
    }
    figures = {"points": len(x), "median_radius": float(np.median(certificate.radius))}
    for name, attack in attacks.items():
        figures[name] = violations(model, x, attack(), certificate, arguments.share)
        print(name, figures[name], flush=True)
    print(write_result("soundness", figures, seed=arguments.seed, settings=vars(arguments)))


if __name__ == "__main__":
    main()

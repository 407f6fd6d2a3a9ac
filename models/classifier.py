"""Training, export and files that the image classifiers of this folder share.

A script in a model's folder says which data and which network. Everything here is seeded and runs on one thread: a
second run on the same machine writes the same files, byte for byte.
"""

import io
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

SEED = 20260101
BATCH = 64
CALIBRATION_SAMPLES = 256


def seeded(layers):
    """A network of the named layers with seeded weights."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    network = nn.Sequential()
    for name, make in layers:
        network.add_module(name, make())
    return network


def fit(network, samples, epochs, rate):
    """Trains `network` with Adam, the rate rising to `rate` and falling to zero again.

    `samples()` gives images [n, ...] and labels [n] for one epoch, so that each epoch may have pictures of its own.
    """
    order = np.random.default_rng(SEED)
    steps = -(-len(samples()[1]) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(epochs):
        x, y = (torch.from_numpy(array) for array in samples())
        network.train()
        total = 0.0
        for rows in torch.from_numpy(order.permutation(len(y))).split(BATCH):
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1:3} of {epochs}  loss {total / len(y):.4f}", flush=True)
    return network.eval()


def params(model):
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)


def export(network, shape):
    """The network as an ONNX model with a symbolic batch axis; batch normalisation is folded into the convolutions."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter keeps Flatten with a symbolic batch, where the newer one computes shapes in the graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, *shape),),
            file,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model, full_check=True)
    return model


def logits(model, x):
    """What ONNX Runtime answers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": x})[0]


def write(folder, name, network, calibration, test):
    """Writes NAME.onnx, calibration.npz and test.npz, and prints the held-back accuracy of the file as written."""
    (x, y), (x_test, y_test) = calibration, test
    model = export(network, x_test.shape[1:])
    found = logits(model, x_test)
    with torch.no_grad():
        np.testing.assert_allclose(found, network(torch.from_numpy(x_test)).numpy(), rtol=1e-3, atol=1e-3)
    right = int((found.argmax(axis=1) == y_test).sum())
    print(f"{params(model)} params, held back {right} of {len(y_test)}, {right / len(y_test):.4f}")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / f"{name}.onnx")
    rows = slice(CALIBRATION_SAMPLES)
    np.savez_compressed(folder / "calibration.npz", x=x[rows], y=y[rows].astype(np.int64))
    np.savez_compressed(folder / "test.npz", x=x_test, y=y_test.astype(np.int64))

//! ONNX to integer graph: import, calibrate, quantise, report fidelity.

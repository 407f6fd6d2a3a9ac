"""Section F of spec/graph.md: the entries of the tables of Activate."""

ONE = 2**48
LN_2 = 195103586505167
SQRT_2_OVER_PI = 224584538169778
TWO_OVER_SQRT_PI = 317610499778998
SQRT_HALF = 199032864766430
CUBIC = 12586153583616
TAIL = 64 * ONE
KINDS = [
    *["Sigmoid", "Tanh", "Silu", "Gelu", "GeluTanh", "Softplus", "LeakyRelu", "HardSigmoid", "HardSwish"],
    *["HighDigit", "LowDigit"],
]


def clamp(x, low, high):
    return min(max(x, low), high)


def mul(a, b):
    return a * b // ONE


def times(x, scale):
    mantissa, shift = scale
    return x * mantissa // 2**shift


# ---- F3 ------------------------------------------------------------------------------------------------------------


def exponential(u):
    n, r = divmod(u, LN_2)
    if n > 64:
        return 0
    s = ONE
    for k in range(20, 0, -1):
        s = ONE - mul(r, s) // k
    return s // 2**n


def sigmoid(x):
    d = exponential(abs(x))
    b = d * ONE // (ONE + d)
    return b if x < 0 else ONE - b


def logarithm(u):
    z = u * ONE // (2 * ONE + u)
    q = mul(z, z)
    s, p = 0, z
    for k in range(1, 36, 2):
        s += p // k
        p = mul(p, q)
    return 2 * s


def erf(w):
    if w < 0:
        return -erf(-w)
    if w >= 4 * ONE:
        return ONE
    q = mul(w, w)
    s, e = 0, w
    for k in range(3, 202, 2):
        s += e
        e = mul(2 * e, q) // k
    return min(ONE, mul(mul(s, exponential(q)), TWO_OVER_SQRT_PI))


# ---- F4 ------------------------------------------------------------------------------------------------------------


def hard(x):
    return mul(x, clamp(x // 6 + ONE // 2, 0, ONE))


def gelu_tanh(x):
    return mul(x, sigmoid(2 * mul(x + mul(mul(x, x), mul(x, CUBIC)), SQRT_2_OVER_PI)))


# Those that are max(x, 0) from TAIL on.
TAILED = {
    "Silu": lambda x: mul(x, sigmoid(x)),
    "Gelu": lambda x: mul(x, (ONE + erf(mul(x, SQRT_HALF))) // 2),
    "GeluTanh": gelu_tanh,
    "Softplus": lambda x: max(x, 0) + logarithm(exponential(abs(x))),
    "HardSwish": hard,
}


def value(function, x):
    kind = function["kind"]
    if kind in TAILED:
        return max(x, 0) if abs(x) >= TAIL else TAILED[kind](x)
    if kind == "Sigmoid":
        return sigmoid(x)
    if kind == "Tanh":
        return 2 * sigmoid(2 * x) - ONE
    if kind == "LeakyRelu":
        return times(x, function["slope"]) if x < 0 else x
    if kind in ("HighDigit", "LowDigit"):
        high = x // (2 ** function["bits"] * ONE) * ONE
        return high if kind == "HighDigit" else x - 2 ** function["bits"] * high
    assert kind == "HardSigmoid"
    return clamp(times(x, function["alpha"]) + times(ONE, function["beta"]), 0, ONE)


# ---- F2 ------------------------------------------------------------------------------------------------------------


def entry(function, y):
    mantissa, shift = function["result"]
    v = value(function, times(y * ONE, function["argument"]))
    n, d = abs(v) * 2 ** max(0, shift - 48), mantissa * 2 ** max(0, 48 - shift)
    magnitude = (2 * n + d) // (2 * d)
    return clamp(-magnitude if v < 0 else magnitude, -128, 127)

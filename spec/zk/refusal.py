"""Refusals with their codes."""


class Refused(Exception):
    def __init__(self, code, why=""):
        super().__init__(f"{code} {why}")
        self.code = code


def require(condition, code, why=""):
    if not condition:
        raise Refused(code, why)

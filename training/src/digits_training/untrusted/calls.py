"""How the layers of a functional model are connected, in the forms that Keras 2 and Keras 3 write."""

from typing import Any

from digits_training.untrusted.limits import require

Tensor = list[Any]  # [name of a layer, number of a call of it, number of an output of that call]


def calls(nodes: list[Any], layer: str, *, augments: bool = False) -> list[list[Tensor]]:
    """The tensors that each call of the layer takes. Raises ModelFileError if a call takes anything else.

    `augments` if the layer is an augmentation layer. Keras 3 writes training=True for each call of such a layer, and
    still calls it with training=False at inference. In a file of Keras 2, training=True holds for every call.
    """
    return [
        _of_keras_3(node, layer, augments=augments) if isinstance(node, dict) else _of_keras_2(node, layer)
        for node in nodes
    ]


def tensors(value: Any) -> Tensor | list[Tensor]:
    """Inputs or outputs of a model: one tensor, or several."""
    found = _all_tensors(value)
    return found[0] if len(found) == 1 else found


def without_effect(calls_of: dict[str, list[list[Tensor]]], outputs: Tensor | list[Tensor]) -> list[str]:
    """Of the layers whose calls are given by name, those on which no output of the model depends."""
    to_visit = [outputs[0]] if isinstance(outputs[0], str) else [tensor[0] for tensor in outputs]
    needed: set[str] = set()
    while to_visit:
        name = to_visit.pop()
        if name in calls_of and name not in needed:
            needed.add(name)
            to_visit += [tensor[0] for call in calls_of[name] for tensor in call]
    return [name for name in calls_of if name not in needed]


def _all_tensors(value: Any) -> list[Tensor]:
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in _all_tensors(part)]
    if value and isinstance(value[0], str):
        return [_tensor(value)]
    return [tensor for part in value for tensor in _all_tensors(part)]


def _of_keras_2(node: list[Any], layer: str) -> list[Tensor]:
    """A list of [name, call, output, keyword arguments]."""
    found = []
    for tensor in [node] if node and isinstance(node[0], str) else node:
        _check_keywords(tensor[3] if len(tensor) > 3 else {}, layer)
        found.append(_tensor(tensor[:3]))
    return found


def _of_keras_3(node: dict[str, Any], layer: str, *, augments: bool) -> list[Tensor]:
    """One positional argument, which is a tensor or a list of tensors, and keyword arguments."""
    unread = {"training"} if augments else set()
    _check_keywords({name: value for name, value in node["kwargs"].items() if name not in unread}, layer)
    (given,) = node["args"]
    found = []
    for tensor in given if isinstance(given, list) else [given]:
        is_tensor = isinstance(tensor, dict) and tensor.get("class_name") == "__keras_tensor__"
        require(is_tensor, f"the layer {layer!r} is called with something that is not the output of a layer")
        found.append(_tensor(tensor["config"]["keras_history"]))
    return found


def _tensor(value: Any) -> Tensor:
    name, call, output = value
    plain = isinstance(name, str) and all(isinstance(number, int) and number >= 0 for number in (call, output))
    require(plain, "the configuration connects layers by something that is not a name and two numbers")
    return [name, int(call), int(output)]


def _check_keywords(keywords: dict[str, Any], layer: str) -> None:
    for name, value in keywords.items():
        unused = value is None or value is False or (isinstance(value, list) and not any(value))
        require(unused, f"the layer {layer!r} is called with {name}={str(value)[:60]}")

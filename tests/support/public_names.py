"""The public names in the code: RPCs, fields, flags, variables, metrics, names of the client.

python -m support.public_names    rewrites tests/contract/public_names.json (with PYTHONPATH=tests)
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from prometheus_client import CollectorRegistry

import digits_client
from digits.inference import inference_pb2
from digits.v1 import manifest_pb2, prediction_pb2
from digits_client import Client, cli, testing
from digits_client.metrics import measured
from digits_server import flags
from digits_server.observability.metrics import Metrics
from digits_server.settings import Settings
from digits_training.cli.commands import commands

LIST = Path(__file__).parents[1] / "contract/public_names.json"


def public_names() -> dict[str, Any]:
    """Everything, in an order that does not change from run to run."""
    return {
        "rpcs": {
            service.full_name: {method.name: described_method(method) for method in service.methods}
            for file in (prediction_pb2, inference_pb2)
            for service in file.DESCRIPTOR.services_by_name.values()
        },
        "fields": {
            message.full_name: {field.name: described_field(field) for field in message.fields}
            for file in (prediction_pb2, manifest_pb2, inference_pb2)
            for message in messages(file.DESCRIPTOR)
        },
        "enums": {
            enum.full_name: {value.name: value.number for value in enum.values}
            for file in (prediction_pb2, manifest_pb2, inference_pb2)
            for enum in (
                *file.DESCRIPTOR.enum_types_by_name.values(),
                *(each for message in messages(file.DESCRIPTOR) for each in message.enum_types),
            )
        },
        "digits-server": {f"--{item.name.replace('_', '-')}": flags.variable(item.name) for item in fields(Settings)},
        "digits-train": {name: click_flags(command) for name, command in sorted(commands.commands.items())},
        "digits": {name: argparse_flags(parser) for name, parser in sorted(client_commands().items())},
        "digits_client": sorted(digits_client.__all__),
        "digits_client.testing": sorted([*testing.__all__, "digits_server"]),  # with the fixture
        "metrics": metrics(),
        "digits_client.metrics": client_metrics(),
    }


def messages(file: FileDescriptor) -> list[Descriptor]:
    """The messages of a file, nested ones included."""
    waiting = list(file.message_types_by_name.values())
    found = []
    while waiting:
        message = waiting.pop(0)
        found.append(message)
        waiting += [each for each in message.nested_types if not each.GetOptions().map_entry]
    return found


TYPES: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}  # the names that .proto files use


def described_field(field: FieldDescriptor) -> str:
    """Number and type of a field as its .proto has them: a change of either breaks those who read the message."""
    other = field.message_type or field.enum_type
    kind = other.full_name if other else TYPES[field.type]
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = (described_field(each).partition(": ")[2] for each in field.message_type.fields)
        return f"{field.number}: map<{key}, {value}>"
    oneof = f", one of {field.containing_oneof.name}" if field.containing_oneof else ""
    return f"{field.number}: {'repeated ' if field.is_repeated else ''}{kind}{oneof}"


def described_method(method: MethodDescriptor) -> str:
    """The types of a method's request and reply."""
    taken = f"{'stream ' if method.client_streaming else ''}{method.input_type.full_name}"
    return f"{taken} -> {'stream ' if method.server_streaming else ''}{method.output_type.full_name}"


def click_flags(command: click.Command) -> dict[str, str | None]:
    """The flags of a command, each with its environment variable."""
    options = (each for each in command.params if isinstance(each, click.Option))
    return {option.opts[0]: str(option.envvar) if option.envvar else None for option in options}


def client_commands() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (each for each in cli._parser()._actions if isinstance(each, argparse._SubParsersAction))
    found: dict[str, argparse.ArgumentParser] = commands.choices
    return found


def argparse_flags(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(option for action in parser._actions for option in action.option_strings)


def metrics() -> dict[str, list[str]]:
    """The metrics that a server makes at its start, each with its labels."""
    made = Metrics()
    made.shadow()
    made.watch_certificate(lambda: 0.0)
    found = {
        family.name: list(getattr(family, "_labelnames", ()) or getattr(collector, "_labelnames", ()))
        for collector in made.registry._collector_to_names
        for family in collector.collect()
    }
    return dict(sorted(found.items()))


def client_metrics() -> dict[str, list[str]]:
    """The metrics of a client's calls, each with its labels."""
    registry = CollectorRegistry()
    measured(Client("localhost:1"), registry)
    found = {
        family.name: list(getattr(collector, "_labelnames", ()))
        for collector in registry._collector_to_names
        for family in collector.collect()
    }
    return dict(sorted(found.items()))


if __name__ == "__main__":
    LIST.write_text(json.dumps(public_names(), indent=1) + "\n")

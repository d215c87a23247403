"""A stand-in for the `aws` command: `python aws.py SERVICE OPERATION --option value …`.

It knows operations and options by the SDK's own models, which the real command is made from, too. S3 and IAM are asked
of the server that AWS_ENDPOINT_URL names; for other services the options are checked only.
"""

import json
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name
from botocore.model import Shape
from botocore.validate import validate_parameters

SERVICES = {"s3api": "s3"}
SERVED = {"s3", "iam"}


def main(service: str, operation: str, *words: str) -> None:
    """Do what the command line says, or end with what is wrong with it."""
    client = boto3.client(SERVICES.get(service, service))
    model = client.meta.service_model
    (name,) = (name for name in model.operation_names if xform_name(name, "-") == operation)
    members = model.operation_model(name).input_shape.members
    by_option = {f"--{xform_name(member, '-')}": (member, shape) for member, shape in members.items()}
    arguments = {}
    for option, values in options(words):
        member, shape = by_option[option]
        arguments[member] = parse(shape, values)
    validate_parameters(arguments, model.operation_model(name).input_shape)
    if model.service_name in SERVED:
        getattr(client, xform_name(name))(**arguments)


def options(words: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """The options with the words that follow each."""
    for index, word in enumerate(words):
        if word.startswith("--"):
            yield word, list(takewhile(lambda following: not following.startswith("--"), words[index + 1 :]))


def parse(shape: Shape, values: list[str]) -> Any:
    """An option's value: a text, a list of texts, or a structure as JSON in a file or in the form A=b,C=d."""
    if shape.type_name == "list":
        return values
    (value,) = values
    content = Path(value.removeprefix("file://")).read_text() if value.startswith("file://") else value
    if shape.type_name == "string":
        return content
    assert shape.type_name == "structure", shape
    if value.startswith("file://"):
        return json.loads(content)
    pairs = dict(pair.split("=") for pair in value.split(","))
    return {key: parse_scalar(shape.members[key], text) for key, text in pairs.items()}


def parse_scalar(shape: Shape, text: str) -> str | bool:
    return {"true": True, "false": False}[text] if shape.type_name == "boolean" else text


if __name__ == "__main__":
    main(*sys.argv[1:])

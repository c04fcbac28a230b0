"""The messages of /openapi.json: JSON Schemas (2020-12), what each error means, examples that the server answers."""

import json
from typing import Any

from digits_server.open_inference.tensors import BYTES, FILE_INPUT, FP32, INT64, KINDS, OUTPUTS, PIXEL_INPUT, UINT8
from digits_server.pictures.images import PIXELS
from digits_server.settings import MODEL_NAME

STRING = {"type": "string"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
SHAPE = {"type": "array", "items": {"type": "integer", "minimum": -1}}
PARAMETERS = {"type": ["object", "null"], "description": "Unknown ones are ignored."}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _array(of: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **more}


TENSOR_KIND = _object({"name": STRING, "datatype": STRING, "shape": SHAPE})

INPUT = _object(
    {
        "name": {"enum": [PIXEL_INPUT.name, FILE_INPUT.name]},
        "datatype": {"enum": [UINT8, FP32, BYTES]},
        "shape": {**SHAPE, "items": {"type": "integer", "minimum": 0}, "maxItems": 4},
    },
    {
        "data": {
            "type": "array",
            "description": "Grey levels, 0 background to 255 ink, flat or nested as the shape; or files in base64.",
        },
        "parameters": {
            **PARAMETERS,
            "description": "binary_data_size: bytes of the tensor after the JSON, instead of data.",
        },
    },
)

SCHEMAS: dict[str, Any] = {
    "Error": _object({"error": {**STRING, "description": "One sentence that says what was expected."}}),
    "Live": _object({"live": {"type": "boolean"}}),
    "Ready": _object({"ready": {"type": "boolean"}}),
    "ModelReady": _object({"name": STRING, "ready": {"type": "boolean"}}),
    "ServerMetadata": _object({"name": STRING, "version": STRING, "extensions": _array(STRING)}),
    "ModelMetadata": _object(
        {
            "name": {"const": MODEL_NAME},
            "versions": _array({"type": "string", "pattern": "^[1-9][0-9]*$"}),
            "platform": STRING,
            "inputs": _array(TENSOR_KIND),
            "outputs": _array(TENSOR_KIND),
            "properties": {"type": "object", "additionalProperties": STRING},
        }
    ),
    "InferRequest": _object(
        {"inputs": _array(INPUT, minItems=1, maxItems=1)},
        {
            "id": {"type": ["string", "null"], "description": "Comes back with the answer."},
            "parameters": {**PARAMETERS, "description": "binary_data_output: for outputs without binary_data."},
            "outputs": {
                **_array(_object({"name": {"enum": list(KINDS)}}, {"parameters": PARAMETERS})),
                "type": ["array", "null"],
                "description": "The outputs to return, in this order; without this list, all but unlike.",
            },
        },
    ),
    "InferResponse": _object(
        {
            "model_name": {"const": MODEL_NAME},
            "model_version": {**STRING, "description": "The version that answered."},
            "outputs": _array(
                _object(
                    {"name": STRING, "datatype": {"enum": [INT64, FP32]}, "shape": SHAPE},
                    {"data": _array({"type": "number"}), "parameters": {"type": "object"}},
                )
            ),
        },
        {"id": STRING},
    ),
    "Prediction": _object(
        {
            "digit": DIGIT,
            "confidence": SHARE,
            "probabilities": _array(SHARE, minItems=10, maxItems=10),
            "pixels": {**STRING, "contentEncoding": "base64", "description": "The 28 × 28 grey levels the model saw."},
            "model_version": {"type": "integer", "minimum": 1},
        },
        {
            "unlike": {
                "type": ["number", "null"],
                "description": "Above 1, the image does not look like a digit; null if the version has no such score.",
            }
        },
    ),
    "Model": _object(
        {
            "name": STRING,
            "version": {"type": "integer", "minimum": 1},
            "network": STRING,
            "parameters": {"type": "integer", "minimum": 0},
            "labels": _array(STRING),
            "test_accuracy": SHARE,
            "test_images": {"type": "integer", "minimum": 0},
            "published": {"type": ["string", "null"], "format": "date-time"},
            "report": {**_array(STRING), "description": "Files below /model/VERSION/report/."},
        }
    ),
    "Document": {"type": "object", "description": "OpenAPI 3.1."},
}

ERRORS = {
    400: "Something in the request is invalid; the sentence names it.",
    401: "No token, or an unknown one.",
    403: "The page of another site sent the request.",
    404: "There is no such path, model, version or file.",
    405: "The path does not take this method.",
    413: "The request exceeds a limit; the sentence names it.",
    415: "The body is compressed, or its content type is not accepted.",
    421: "Host is not a name of this machine.",
    429: "The server is overloaded; retry-after says when to try again, in seconds.",
    500: "The server failed; its log says why, under the id in the sentence.",
    503: "No model is loaded yet, or the server is about to stop.",
    504: "The answer was not ready in time.",
}
"""By status."""

INFER_EXAMPLES: dict[str, Any] = {
    "pixels": {
        "summary": "A black image; one output",
        "value": {
            "id": "example",
            "inputs": [{"name": PIXEL_INPUT.name, "datatype": UINT8, "shape": [1, PIXELS], "data": [0] * PIXELS}],
            "outputs": [{"name": OUTPUTS[0].name}],
        },
    }
}


def encoded(document: dict[str, Any]) -> bytes:
    """The document as JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

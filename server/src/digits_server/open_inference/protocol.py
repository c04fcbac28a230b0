"""The operations of the Open Inference Protocol, over gRPC and HTTP alike: readiness, metadata, inference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from digits.v1.prediction_pb2 import ModelVersionStatus
from digits_server.errors import NotFound
from digits_server.open_inference.inputs import images_or_files
from digits_server.open_inference.tensors import (
    FILE_INPUT,
    OUTPUTS,
    PIXEL_INPUT,
    UNLIKE_OUTPUT,
    InputTensor,
    OutputTensor,
    TensorKind,
    outputs,
    requested,
)
from digits_server.runtimes import Images
from digits_server.service.calls import Call
from digits_server.service.prediction_service import PredictionService
from digits_server.settings import MODEL_NAME

SERVER_NAME = "digits-server"
EXTENSIONS = ("binary_tensor_data",)
"""Over HTTP, tensors may follow the JSON as raw bytes."""

FORMATS = {"litert": "tflite", "keras": "keras"}
"""The format that a runtime reads: the second half of a platform's name, <project>_<format>."""

MAX_VERSION_DIGITS = 18
"""Most digits of a version's number, so that every such number fits into 64 bits."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """One model as callers may use it."""

    versions: tuple[str, ...]
    platform: str
    name: str = MODEL_NAME
    inputs: tuple[TensorKind, ...] = (PIXEL_INPUT,)
    outputs: tuple[TensorKind, ...] = OUTPUTS
    has_unlike: bool = False

    @property
    def properties(self) -> dict[str, str]:
        """Remarks on optional tensors: tools fill every input and request every output that the metadata lists."""
        remarks = {
            FILE_INPUT.name: f"{FILE_INPUT.datatype} [N], PNG, JPEG, WebP or GIF files, in place of {PIXEL_INPUT.name}"
        }
        if self.has_unlike:
            remarks[UNLIKE_OUTPUT.name] = (
                f"{UNLIKE_OUTPUT.datatype} [N], an output to request by name; above 1: does not look like a digit"
            )
        return remarks


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One question. `version` is empty for the current version.

    `outputs` are names; if empty, all outputs except unlike.
    """

    model: str
    version: str
    inputs: Sequence[InputTensor]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Question:
    """An InferRequest that has been read: what to classify, by which version (0: the current), for which outputs."""

    inputs: Images | list[bytes]
    version: int
    outputs: tuple[TensorKind, ...]


@dataclass(frozen=True, slots=True)
class InferReply:
    """Its answer, by one version."""

    version: int
    outputs: list[OutputTensor]


@dataclass(frozen=True, slots=True)
class OpenInference:
    """The protocol's questions, answered by the service. Errors are ServingError."""

    service: PredictionService

    @property
    def ready(self) -> bool:
        """Whether predictions are answered now."""
        return self.service.models.ready

    def model_ready(self, name: str, version: str) -> bool:
        """Whether a version, or with "" the model in any version, answers now.

        Raises NotFound for a version never seen.
        """
        number = _number(name, version)
        if number and number not in {status.version for status in self.service.models.statuses()}:
            raise NotFound(f"model_version: {number} does not exist")
        return self.ready and (not number or number in self._serving())

    def model_metadata(self, name: str, version: str) -> ModelMetadata:
        """The model's versions and tensors. Raises NotFound, or Unavailable while no model is loaded."""
        model = self.service.models.named(_number(name, version))
        platform = f"{model.runtime.name}_{FORMATS[model.runtime.name]}"
        versions = tuple(map(str, self._serving()))
        return ModelMetadata(versions, platform, has_unlike=model.scoring is not None)

    async def infer(self, request: InferRequest, call: Call) -> InferReply:
        """Classifies what the inputs hold. Raises ServingError."""
        return await self.answer(self.read(request), call)

    def read(self, request: InferRequest) -> Question:
        """The question in a request. May take a while for large inputs; may run in any thread. Raises ServingError."""
        number = _number(request.model, request.version)
        kinds = requested(request.outputs)
        return Question(images_or_files(request.inputs, self.service.decoder.max_files), number, kinds)

    async def answer(self, question: Question, call: Call) -> InferReply:
        """Classifies what was asked. Raises ServingError."""
        unlike = UNLIKE_OUTPUT in question.outputs
        answer = await self.service.classify(question.inputs, question.version, call, unlike=unlike)
        return InferReply(answer.version, outputs(question.outputs, answer))

    def _serving(self) -> list[int]:
        return [
            status.version for status in self.service.models.statuses() if status.state == ModelVersionStatus.SERVING
        ]


@cache
def server_version() -> str:
    """The version of the installed package, which has the name of the server."""
    return version(SERVER_NAME)


def _number(name: str, version: str) -> int:
    """The version as a number, 0 for the current one.

    Raises NotFound for another model, or if the text is not a number. All questions use this one parser: it accepts
    ASCII digits, with leading zeros, and nothing else.
    """
    if name != MODEL_NAME:
        raise NotFound(f"model_name: no model of this name is served; expected {MODEL_NAME}")
    if not version:
        return 0
    if not (version.isascii() and version.isdecimal() and len(version) <= MAX_VERSION_DIGITS and int(version)):
        raise NotFound("model_version: expected a positive integer, or nothing for the current version")
    return int(version)

"""A server's description of its model, in lines for people."""

from collections.abc import Iterator

from digits.v1.prediction_pb2 import GetModelResponse, ModelVersionStatus


def described(model: GetModelResponse) -> Iterator[tuple[str, str]]:
    """Names and values: the current version, then every version with its state and what it is used for.

    Values that the server does not know, such as the accuracy of a bare model file, are left out.
    """
    manifest = model.manifest
    yield "model", f"{manifest.model_name}, version {manifest.model_version}, {manifest.training.network}"
    yield "runtime", model.runtime
    if manifest.metrics.test_images:
        yield "accuracy", f"{manifest.metrics.test_accuracy:.4f} on {manifest.metrics.test_images:,} test images"
    if manifest.HasField("created_at"):
        yield "published", f"{manifest.created_at.ToDatetime():%Y-%m-%d %H:%M} UTC"
    yield "size", f"{sum(file.size_bytes for file in manifest.files):,} bytes"
    if model.pinned_version:
        yield "pinned", f"version {model.pinned_version}"
    if model.canary_version:
        yield "canary", f"version {model.canary_version}, {100 * model.canary_share:.3g}% of requests without a version"
    if model.shadow_version:
        yield "shadow", f"version {model.shadow_version}"
    known = {item.version for item in model.versions}
    for item in model.versions:
        state = ModelVersionStatus.State.Name(item.state)
        roles = "".join(f", {role}" for role in _roles(model, item.version))
        yield "version", f"{item.version}  {state}{roles}{f': {item.reason}' if item.reason else ''}"
    if model.pinned_version and model.pinned_version not in known:
        yield "version", f"{model.pinned_version}  not in the repository, pinned"


def _roles(model: GetModelResponse, version: int) -> list[str]:
    roles = {
        "current": model.manifest.model_version,
        "pinned": model.pinned_version,
        "canary": model.canary_version,
        "shadow": model.shadow_version,
    }
    return [role for role, its in roles.items() if its == version]

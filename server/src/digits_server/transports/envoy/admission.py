"""What Envoy refuses by itself, before Python hears of it: unary predictions beyond a number under way at once.

Refused in Python, a call costs most of what an answer costs, so that a few times more calls than can be answered would
leave no time to answer any. Envoy's adaptive concurrency filter needs no Python; here it adapts nothing.
"""

from http import HTTPStatus
from typing import Any

from digits_server.transports.envoy.typed import TYPES, typed

FILTER = "envoy.filters.http.adaptive_concurrency"

PATHS = ("/digits.v1.PredictionService/Predict", "/inference.GRPCInferenceService/ModelInfer")
"""What counts: neither streams, which last, nor health, which is most wanted when there is too much to do."""


def at_most(calls: int) -> dict[str, Any]:
    """The filter that lets so many calls of PATHS in at once."""
    limiter = typed(
        "filters.http.adaptive_concurrency",
        "AdaptiveConcurrency",
        {
            "concurrency_limit_exceeded_status": {"code": HTTPStatus.TOO_MANY_REQUESTS},
            "gradient_controller_config": {
                "concurrency_limit_params": {"max_concurrency_limit": calls, "concurrency_update_interval": "60s"},
                # The least limit is also the greatest, so what it measures does not matter.
                "min_rtt_calc_params": {"interval": "86400s", "request_count": 1, "min_concurrency": calls},
            },
        },
    )
    path = {
        "name": "path",
        "typed_config": {"@type": f"{TYPES}.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": ":path"},
    }
    counted = [{"single_predicate": {"input": path, "value_match": {"exact": each}}} for each in PATHS]
    skip = {
        "name": "skip",
        "typed_config": {"@type": f"{TYPES}.extensions.filters.common.matcher.action.v3.SkipFilter"},
    }
    others = {
        "predicate": {"not_matcher": {"or_matcher": {"predicate": counted}}},
        "on_match": {"action": skip},
    }
    return {
        "name": FILTER,
        "typed_config": {
            "@type": f"{TYPES}.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": limiter,
            "xds_matcher": {"matcher_list": {"matchers": [others]}},
        },
    }

"""The composition root: puts the parts of the server together, and starts and stops them in order."""

import asyncio
import logging
from contextlib import AsyncExitStack

from digits_server.models.source import ModelSource
from digits_server.observability.direct_counts import DirectCounts
from digits_server.observability.metrics import Metrics
from digits_server.observers.setup import observation
from digits_server.open_inference.grpc import INFERENCE_SERVICE
from digits_server.open_inference.protocol import OpenInference
from digits_server.pages import openapi, playground, report
from digits_server.pages.open_inference import OpenInferenceRoutes
from digits_server.pages.operations import operations
from digits_server.rpcs.health import Health
from digits_server.rpcs.interceptors import watched
from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.rpcs.table import PREDICTION_SERVICE, all_rpcs
from digits_server.security.authentication import Guard, ports_in_plaintext
from digits_server.security.credentials import Credentials
from digits_server.security.tls import http_context
from digits_server.service.direct_predictions import DirectPredictions
from digits_server.service.file_decoder import FileDecoder
from digits_server.service.offload import Offload
from digits_server.service.prediction_service import PredictionService
from digits_server.service.read_ahead import ReadAhead
from digits_server.serving.lifecycle import Lifecycle
from digits_server.serving.registry import ModelRegistry
from digits_server.settings import Settings
from digits_server.system.loop_lag import LoopLag
from digits_server.system.memory import freeze_objects, give_back_when_idle, return_large_blocks
from digits_server.transports import Transport
from digits_server.transports.choice import choose
from digits_server.transports.grpcio.transport import GrpcioTransport
from digits_server.transports.limits import limits
from digits_server.web.bodies import Bodies
from digits_server.web.doors import Doors
from digits_server.web.in_flight import InFlight
from digits_server.web.interceptors import watched as watched_web
from digits_server.web.origins import Origins, host_names
from digits_server.web.places import Places
from digits_server.web.routes import Route
from digits_server.web.server import WebServer
from digits_server.workers.process_role import Alone, Role

log = logging.getLogger(__name__)


class App:
    """One server process. Make it inside the event loop it will run on."""

    def __init__(
        self, settings: Settings, source: ModelSource, credentials: Credentials, role: Role | None = None
    ) -> None:
        """Puts the parts together; nothing listens yet. Without a `role` this process is the whole server.

        Raises OperatorError.
        """
        self._settings = settings
        self._role = role or Alone()
        self._metrics = metrics = Metrics()
        self._observation = observation(settings, credentials.callers)
        self._models = ModelRegistry(
            metrics,
            max_batch_size=settings.max_batch_size,
            max_queue_size=settings.max_queue_size,
            batcher=self._observation.batcher,
        )
        self._lifecycle = Lifecycle(
            source,
            self._models,
            poll_interval=settings.poll_interval,
            served_versions=settings.served_versions,
            max_batch_size=settings.max_batch_size,
        )
        self._decoder = FileDecoder(
            max_files=settings.max_image_files,
            max_waiting=settings.max_waiting_files,
            max_waiting_bytes=settings.max_waiting_file_bytes,
            max_pixels=settings.max_image_pixels,
            max_request_pixels=settings.max_request_pixels,
        )
        ahead = ReadAhead(settings.max_stream_window, settings.max_message_bytes, settings.max_stream_bytes)
        service = PredictionService(self._models, self._decoder, metrics, ahead)
        inference = OpenInference(service)
        self._health = Health((PREDICTION_SERVICE, INFERENCE_SERVICE), self._models.draining)
        self._credentials = credentials
        self._identity = credentials.identity
        if own := self._identity:
            metrics.watch_certificate(lambda: own.value.expires)
        for name, files in credentials.files.items():
            files.count_failures(metrics.reload_failures.labels(name).inc)
        self._guard = Guard(
            credentials.callers,
            credentials.scrapers,
            open_paths=[path for path in settings.http_open.split(",") if path],
        )
        for port in ports_in_plaintext(settings):
            log.warning("tokens travel in plaintext to the %s port: anybody on the network path can read them", port)
        admit = self._guard.admit if settings.tokens else None
        self._offload = Offload("messages", settings.max_waiting_bytes)
        rpcs = all_rpcs(
            service,
            inference,
            self._health,
            metrics,
            reflection=settings.reflection,
            max_streams=settings.max_streams,
            max_request_streams=limits(settings).unfinished,
            max_connection_streams=settings.max_connection_streams,
            max_image_files=settings.max_image_files,
            beside=self._offload,
            admit=admit,
        )
        self._transport = self._listener(watched(rpcs, self._observation.watchers))
        self._in_flight = InFlight()
        self._bodies = bodies = Bodies(settings.max_message_bytes, settings.max_waiting_bytes)
        predictions = OpenInferenceRoutes(inference, self._in_flight, self._offload, bodies, settings.http_timeout)
        page = self._page(service, source, bodies) if settings.page else []
        places = Places(settings.max_connections, metrics.http.connection_closed)
        doors = Doors(
            [*operations(self._role), *predictions.routes(), *page, *openapi.routes(settings)],
            guard=self._guard,
            origins=Origins(host_names(settings)),
            places=places,
            metrics=metrics.http,
            rejections=metrics.rejections,
            failures=metrics.failures,
        )
        self._web = WebServer(
            watched_web(doors, self._observation.watchers),
            settings.host,
            settings.http_port,
            shared=self._role.shares_ports,
            places=places,
            seconds=settings.http_timeout,
            unreadable=doors.unreadable,
            tls=http_context(self._identity) if self._identity and settings.http_tls else None,
        )

    async def run(self, stopping: "asyncio.Future[None]") -> None:
        """Serves until `stopping` is done, then drains. Raises OperatorError when it cannot start."""
        async with AsyncExitStack() as closing:
            lag = LoopLag(self._metrics.loop_lag.observe)
            lag.start()
            return_large_blocks()
            freeze_objects()
            closing.callback(lag.stop)
            closing.callback(asyncio.create_task(give_back_when_idle()).cancel)
            await self._role.begin(self._metrics.registry, lambda: self._models.ready)
            if not self._role.joins:
                # Ports first: a port that is taken is an error before a model is loaded, and probes are answered
                # while it loads.
                await self._listen(closing)
            loading = asyncio.create_task(self._lifecycle.start())
            await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loading.result()
                self._health.set_serving(True)
                if self._role.joins:
                    await self._listen(closing)
                await self._transport.start()
                await self._role.serving()
                closing.callback(asyncio.create_task(self._lifecycle.follow()).cancel)
                await stopping
            elif self._role.joins:
                await self._lifecycle.close()

    async def _listen(self, closing: AsyncExitStack) -> None:
        """Opens both ports; they are closed with `closing`. Raises AddressUnavailable.

        HTTP answers probes at once. A gRPC connection waits until the model is loaded: a client that knows several
        servers takes a server that answers for a ready one, and would send it calls.
        """
        await self._web.start()
        closing.push_async_callback(self._web.stop)
        await self._transport.open()
        closing.push_async_callback(self._drain)
        await self._role.listening(self._settings.host, self._transport.port, self._web.port, self._choice)
        for files in self._credentials.files.values():
            closing.callback(asyncio.create_task(files.watch()).cancel)

    async def try_model(self) -> str:
        """Loads and verifies the model that `run` would serve, without listening. Returns one sentence about it.

        Raises OperatorError if there is no model to serve.
        """
        try:
            await self._lifecycle.start()
            model = self._models.current
            rejected = "".join(
                f"; version {item.version} is rejected: {item.reason}"
                for item in self._models.statuses()
                if item.reason
            )
            return f"version {model.version} would serve, loaded and verified in {model.load_seconds:.1f} s{rejected}"
        finally:
            await self._end()

    async def _drain(self) -> None:
        """Reports "not ready" at once, answers the calls in flight, then ends everything."""
        grace = self._settings.shutdown_grace if self._models.versions else 0.0  # without a model no call is in flight
        self._role.draining(grace)
        self._models.drain()
        self._health.set_serving(False)
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        await self._transport.stop(grace)
        await self._in_flight.close(max(0.0, end - loop.time()))
        self._bodies.close()
        await self._end()
        self._role.stopped()

    async def _end(self) -> None:
        """Ends the threads, and the models once their last batch is done."""
        await self._lifecycle.close()
        await self._models.close()
        self._decoder.close()
        self._offload.close()
        await asyncio.to_thread(self._observation.close)

    def _listener(self, rpcs: list[UnaryRpc | StreamRpc]) -> Transport:
        """The transport that the settings ask for, in front of `rpcs`."""
        settings, models = self._settings, self._models
        where = settings.host, settings.grpc_port, limits(settings)
        shared, refused = self._role.shares_ports, self._metrics.grpc_refused
        self._choice = choose(settings)
        if self._choice.name == "grpcio":
            return GrpcioTransport(rpcs, *where, refused=refused, shared=shared, identity=self._identity)
        from digits_server.transports.native.transport import NativeTransport  # not every platform has it

        direct = None
        if not self._observation.watchers:  # observers must see every call, on the event loop
            direct = DirectPredictions(models.only, DirectCounts(self._metrics), settings.max_calls)
            models.also_waiting(lambda: direct.waiting)
        knows = self._guard.knows if settings.tokens else None
        return NativeTransport(rpcs, direct, *where, knows=knows, refused=refused, shared=shared)

    def _page(self, service: PredictionService, source: ModelSource, bodies: Bodies) -> list[Route]:
        return [
            *playground.routes(service, self._in_flight, bodies, self._settings.http_timeout),
            *report.routes(self._models, source),
        ]

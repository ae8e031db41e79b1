"""From settings to an application: contracts, fixtures, worlds and providers put together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from contract_tests import contract as contract_module
from contract_tests import shipped
from contract_tests.contract import Contract
from contract_tests.source import InputError, Source, data_folder
from mock_server import fixture_files
from mock_server.actions import Action
from mock_server.app import build_app
from mock_server.call import Provider
from mock_server.checkpointing import Checkpointing
from mock_server.clock import REAL, Clock, ClockSetting, RealClock, parse_clock
from mock_server.connexion_parts import AsyncApp
from mock_server.control.defects import DefectControls
from mock_server.control.faults import FaultControls
from mock_server.control.history import HistoryControls
from mock_server.control.journal import JournalControls
from mock_server.control.polar import PolarControls
from mock_server.control.provider import Control
from mock_server.control.scenarios import ScenarioControls
from mock_server.control.sessions import SessionControls
from mock_server.control.wallets import WalletControls
from mock_server.control.webhooks import WebhookControls
from mock_server.defects.board import Board
from mock_server.defects.catalogue import find
from mock_server.defects.defect import Defect
from mock_server.defects.stage import Stage
from mock_server.docs_page import DocsPage
from mock_server.faults import actions as faults_actions
from mock_server.faults.catalogue import Catalogue
from mock_server.faults.flexprice import FlexpriceRepertoire
from mock_server.faults.playing import Playing
from mock_server.faults.polar import PolarRepertoire
from mock_server.faults.repertoire import Repertoire
from mock_server.faults.state import FaultsState
from mock_server.faults.striking import Striking
from mock_server.flexprice import actions as flexprice_actions
from mock_server.flexprice.agenda import FlexpriceAgenda
from mock_server.flexprice.fixtures import FlexpriceFixtures
from mock_server.flexprice.population import MAX_POPULATION
from mock_server.flexprice.provider import Flexprice
from mock_server.ids import Seed
from mock_server.journal import MOST_ENTRIES, Journal
from mock_server.journal.memory import MemoryJournal
from mock_server.journal.shared import LogJournal
from mock_server.logs.opening import open_log, settle
from mock_server.personas import Cast
from mock_server.polar import actions as polar_actions
from mock_server.polar.fixtures import PolarFixtures
from mock_server.polar.provider import Polar
from mock_server.rounds import Rounds
from mock_server.scenarios.agenda import ScenarioAgenda
from mock_server.scenarios.counting import CallCounter
from mock_server.scenarios.library import Library
from mock_server.scenarios.reading import Reader
from mock_server.scenarios.scenario import Scenario
from mock_server.scenarios.state import ScenariosState
from mock_server.session_file import Origin
from mock_server.sessions import IDLE, MOST_SESSIONS, Sessions
from mock_server.stopping import Stopping
from mock_server.webhooks.addresses import Addresses, BadAddress, host_of
from mock_server.webhooks.delivery import Courier
from mock_server.webhooks.settings import WebhookSettings
from mock_server.webhooks.signing import KNOWN_SECRET, key_of
from mock_server.world import MOST_EVENTS, Worlds

PROVIDERS = ("flexprice", "polar")
DEFAULT_POPULATION = 1000


@dataclass(frozen=True)
class Settings:
    """What to serve. `spec` and `overlay` replace the shipped files of the one provider in `providers`."""

    providers: tuple[str, ...] = PROVIDERS
    spec: Path | None = None
    overlay: Path | None = None
    fixtures: tuple[Path, ...] = ()
    seed: int = 1
    population: int = DEFAULT_POPULATION
    api_keys: tuple[str, ...] = ()
    control_token: str | None = None
    exposed: bool = False
    defects: tuple[str, ...] = ()
    documented_only: bool = False  # without the routes that Flexprice serves and does not document
    clock: ClockSetting = REAL
    frozen_at_start: bool = False  # the clock was not told where to stand
    first_day: datetime | None = None  # which relative expiries count from; None = the day on which the server starts
    max_sessions: int = MOST_SESSIONS
    session_idle: timedelta = IDLE
    max_events: int = MOST_EVENTS
    webhook: str | None = None
    webhook_hosts: tuple[str, ...] = ()
    webhook_secret: str = KNOWN_SECRET
    journal: int = MOST_ENTRIES
    log: str = "memory"  # where events are: memory, sqlite:PATH or postgresql://...
    scenarios: tuple[str, ...] = ()  # which every session begins with: names of the library, or files


@dataclass(frozen=True)
class Mock:
    """The application with what a banner tells about it."""

    app: AsyncApp
    worlds: Worlds
    board: Board
    origin: Origin
    stopping: Stopping
    rounds: Rounds
    contracts: dict[str, Contract]
    casts: dict[str, Cast] = field(default_factory=dict)


def assemble(settings: Settings, clock: Clock | None = None) -> Mock:
    """Read everything, check everything, build; InputError for whatever the user must put right."""
    clock = clock or RealClock()
    _check(settings)
    at_start = _defects(settings)
    seed = Seed(settings.seed)
    log = open_log(settings.log)
    sources = _fixture_sources(settings)
    origin = _settled(settings, clock, sources)
    first_day = origin.first_day
    contracts = {name: _contract(name, settings) for name in settings.providers}
    casts: dict[str, Flexprice | Polar] = {}
    for name in settings.providers:
        casts[name] = _provider(name, contracts[name], sources[name], settings, seed, first_day)
        _check_operations(casts[name])
    control = Control(
        Contract.load("control", _openapi("control.yaml")),
        casts,
        population=settings.population,
        token=settings.control_token,
        exposed=settings.exposed,
    )
    # In order of their claims: the first that owns a path answers there, the last takes what nobody owns.
    order: list[Provider] = [control, *(casts[name] for name in reversed(PROVIDERS) if name in casts)]
    actions = _actions(settings)
    reader = Reader(actions, contracts, casts)
    library = Library(data_folder(__file__, "fixtures") / "scenarios", reader)
    addresses = _addresses(settings)
    webhooks = WebhookSettings(url=settings.webhook)
    sessions = Sessions(settings.max_sessions, settings.session_idle)
    catalogue = _faults(contracts, casts)
    stopping = Stopping()
    worlds = Worlds(
        log,
        clock,
        seed,
        {provider.name: provider.new_state for provider in order}
        | {"scenarios": ScenariosState, "faults": partial(FaultsState, catalogue)},
        agendas=[
            *([FlexpriceAgenda()] if "flexprice" in casts else []),
            ScenarioAgenda(actions, _everywhere(library, settings.scenarios), clock),
        ],
        setting=parse_clock(origin.clock, clock.now()),
        webhooks=webhooks,
        sessions=sessions,
        most_events=settings.max_events,
        checkpoints=Checkpointing(log, origin.model_dump_json()) if log.shared else None,
    )
    journal: Journal = LogJournal(log, casts, settings.journal) if log.shared else MemoryJournal(sessions, settings.journal)
    board = Board(at_start, worlds)
    control.attach(worlds)
    courier = Courier(worlds, addresses, settings.webhook_secret, webhooks)
    control.add(DocsPage([*contracts.values(), control.contract]).handlers)
    control.add(SessionControls(worlds, board, journal, settings.max_events).handlers)
    control.add(DefectControls(worlds, board).handlers)
    control.add(HistoryControls(worlds, board, origin, courier).handlers)
    control.add(JournalControls(journal, contracts).handlers)
    control.add(ScenarioControls(worlds, reader, library).handlers)
    control.add(WebhookControls(worlds, courier, addresses, webhooks).handlers)
    control.add(FaultControls(worlds, catalogue).handlers)
    control.add(WalletControls(worlds).handlers)
    control.add(PolarControls(worlds).handlers)
    for provider in casts.values():
        provider.attach(worlds)
        _check_handlers(provider)
    app = build_app(
        order,
        Stage(board, worlds),
        worlds,
        journal,
        CallCounter(worlds, reader),
        Striking(worlds, catalogue),
        Playing(catalogue, seed, stopping),
        stopping,
    )
    return Mock(app, worlds, board, origin, stopping, Rounds(worlds, courier), contracts, dict(casts))


def _faults(contracts: Mapping[str, Contract], casts: Mapping[str, Cast]) -> Catalogue:
    repertoires: dict[str, Repertoire] = {}
    for name, contract in contracts.items():
        repertoires[name] = FlexpriceRepertoire(contract) if name == "flexprice" else PolarRepertoire()
    return Catalogue(contracts, casts, repertoires)


def _settled(settings: Settings, clock: Clock, sources: dict[str, Source]) -> Origin:
    """What decides on the worlds besides their events; a log that is there already must be of the same."""
    today = settings.clock.now(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = _origin(settings, settings.first_day or today, sources)
    stored = Origin.model_validate(settle(settings.log, wanted.model_dump(mode="json")))
    # Who joins a log, or comes back to it, goes on with its first day, and with the moment at which it was frozen.
    if settings.first_day is None:
        wanted = wanted.model_copy(update={"first_day": stored.first_day})
    if settings.frozen_at_start and stored.clock.startswith("frozen:"):
        wanted = wanted.model_copy(update={"clock": stored.clock})
    differences = stored.differences(wanted)
    if differences:
        raise InputError(
            f"--log: its worlds were begun by a server with {'; '.join(differences)} as here; start with another log"
        )
    return stored


def _origin(settings: Settings, first_day: datetime, sources: dict[str, Source]) -> Origin:
    digests = {name: hashlib.sha256(source.path.read_bytes()).hexdigest() for name, source in sorted(sources.items())}
    return Origin(
        seed=settings.seed,
        population=settings.population,
        first_day=first_day,
        clock=settings.clock.text,
        fixtures=digests,
    )


def _check(settings: Settings) -> None:
    for name in settings.providers:
        if name not in PROVIDERS:
            raise InputError(f"unknown provider {name!r}; there are {', '.join(PROVIDERS)}")
    if (settings.spec or settings.overlay) and len(settings.providers) != 1:
        raise InputError("--spec and --overlay replace the files of one provider: say which with one --provider")
    if not 0 <= settings.population <= MAX_POPULATION:
        raise InputError(f"--population must be between 0 and {MAX_POPULATION}, got {settings.population}")
    if settings.journal < 0:
        raise InputError(f"--journal must be 0 or more, got {settings.journal}")
    if not -(2**63) <= settings.seed < 2**63:
        raise InputError("--seed must fit in 64 bits")


def _addresses(settings: Settings) -> Addresses:
    hosts = list(settings.webhook_hosts)
    try:
        if settings.webhook is not None:
            hosts.append(host_of(settings.webhook))
    except BadAddress as problem:
        raise InputError(f"--webhook: {problem}") from None
    try:
        key_of(settings.webhook_secret)
    except ValueError as problem:
        raise InputError(f"--webhook-secret: {problem}") from None
    for host in settings.webhook_hosts:
        try:
            named = host_of(f"http://{host}/")
        except BadAddress:
            named = None
        if named != host.lower():
            raise InputError(f"--webhook-host {host}: expected the name or address of a host, without port")
    return Addresses(hosts)


def _defects(settings: Settings) -> list[Defect]:
    """The defects that every session begins with."""
    defects = [find(name) for name in dict.fromkeys(settings.defects)]
    for defect in defects:
        if defect.provider not in settings.providers:
            raise InputError(f"--defect {defect.name} is one of {defect.provider}, which is not served")
    return defects


def _actions(settings: Settings) -> dict[str, type[Action]]:
    """What scenarios can do."""
    actions = dict(faults_actions.ACTIONS)
    for provider, more in (("flexprice", flexprice_actions.ACTIONS), ("polar", polar_actions.ACTIONS)):
        if provider in settings.providers:
            actions |= more
    return actions


def _everywhere(library: Library, names: Sequence[str]) -> list[Scenario]:
    """The scenarios that every session begins with."""
    found: dict[str, Scenario] = {}
    for name in names:
        scenario = library.find(name)
        if found.setdefault(scenario.scenario, scenario) != scenario:
            raise InputError(f"--scenario {name}: there is another one called {scenario.scenario}")
    return list(found.values())


def _openapi(name: str) -> Path:
    return data_folder(contract_module.__file__, "openapi") / name


def _contract(name: str, settings: Settings) -> Contract:
    document = settings.spec or _openapi(f"{name}.yaml")
    own = settings.overlay
    overlays = []
    if own is None or shipped.is_extended(name, own):
        overlays.append(_openapi(f"{name}.overlay.yaml"))
        # It speaks of the shipped files; with others, what they say is all there is.
        if name == "flexprice" and not (settings.documented_only or settings.spec):
            overlays.append(_openapi("flexprice.undocumented.overlay.yaml"))
    if own is not None:
        overlays.append(own)
    return Contract.load(name, document, *overlays)


def _fixture_sources(settings: Settings) -> dict[str, Source]:
    """A file per provider: the user's where given, else the shipped one."""
    sources: dict[str, Source] = {}
    for path in settings.fixtures:
        source = fixture_files.read_source(path)
        name = source.data.get("provider") if isinstance(source.data, dict) else None
        if name not in settings.providers:
            raise source.error(("provider",), f"expected `provider:` to be one of {', '.join(settings.providers)}, got {name!r}")
        if name in sources:
            raise InputError(f"{path}: a second fixture file for {name}; the first is {sources[name].path}")
        sources[name] = source
    shipped = data_folder(__file__, "fixtures")
    for name in settings.providers:
        if name not in sources:
            sources[name] = fixture_files.read_source(shipped / f"{name}.yaml")
    return sources


def _provider(
    name: str, contract: Contract, source: Source, settings: Settings, seed: Seed, first_day: datetime
) -> Flexprice | Polar:
    provider: Flexprice | Polar
    if name == "flexprice":
        flexprice = fixture_files.parse(source, FlexpriceFixtures)
        locale = flexprice.locale
        provider = Flexprice(contract, seed, flexprice, settings.population, first_day, settings.api_keys)
    else:
        polar = fixture_files.parse(source, PolarFixtures)
        locale = polar.locale
        provider = Polar(contract, seed, polar, settings.population, first_day)
    provider.opening.check(source)
    # The shipped files' expressions are checked by the tests; checking them here would cost every start Faker's import.
    if source.path in settings.fixtures:
        fixture_files.check_expressions(source, locale)
    return provider


def _check_operations(provider: Flexprice | Polar) -> None:
    if not provider.contract.operations:
        raise InputError(f"the document of {provider.name} has no operations")


def _check_handlers(provider: Flexprice | Polar) -> None:
    unknown = [o.id for o in provider.contract.operations.values() if o.id not in provider.handlers]
    if unknown:
        raise InputError(
            f"{provider.name}: the mock does not know what {', '.join(unknown)} should do; "
            f"it serves {', '.join(sorted(provider.handlers))}"
        )

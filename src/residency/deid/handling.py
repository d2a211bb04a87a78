"""In: what a policy says of notes, images, variants, risk. Out: what passes of each, by allow-list."""

from typing import Final, Literal

from residency.contract.specs import spec

Handling = Literal["scrub", "out"]

BODY_PARTS: Final = frozenset(
    "ABDOMEN ABDOMENPELVIS ANKLE ARM AXILLA BACK BLADDER BRAIN BREAST CALF CAROTID CHEST "  # noqa: SIM905
    "CHESTABDOMEN "
    "CHESTABDPELVIS CLAVICLE COLON CSPINE ELBOW EXTREMITY EYE FACE FEMUR FINGER FOOT FOREARM HAND HEAD "
    "HEADNECK HEART HIP HUMERUS JAW KIDNEY KNEE LEG LIVER LSPINE LSSPINE LUNG MAXILLA NECK ORBIT PANCREAS "
    "PELVIS PROSTATE RIB SACRUM SCAPULA SHOULDER SINUS SKULL SPINE SPLEEN STERNUM THIGH THORAX THYROID TOE "
    "TSPINE UTERUS WHOLEBODY WRIST".split()
)
"""Body parts that pass (DICOM PS3.16, Annex L); anything else may be free text, and becomes null."""


@spec
class NotesRules:
    """What passes of notes.

    Attributes:
        handling: `scrub` them, or leave them `out`.
        kinds: codes of the kinds of notes that pass; empty for all.
        dates: `shift` them by the patient's offset, or let only the `year` stand.
        years: whether a year that stands alone may stay; else it goes as a date does.
        organisations: names of the institution's own houses, which are taken wherever they stand.
        classifier: what looks at notes after the rules: nothing, or `presidio` (extra `scrubbing`).
    """

    handling: Handling = "scrub"
    kinds: tuple[str, ...] = ()
    dates: Literal["shift", "year"] = "shift"
    years: bool = True
    organisations: tuple[str, ...] = ()
    classifier: Literal["off", "presidio"] = "off"


@spec
class ImagesRules:
    """What passes of images.

    Attributes:
        handling: `scrub` them, or leave them `out`.
        modalities: those that pass (DICOM's). Photographs (XC) and eyes (OP) are not among them: a face
            or a retina tells who one is.
        volumes: modalities from which a face can be built.
        faces: of those, whether series of the head `refuse` or `keep`.
        face_sites: body sites that show a face.
        unknown_sites: what happens to a volume whose body site is not known.
        burned_in: how text in the pixels is found: our own `detector`, `ocr` besides (extra `scrubbing`),
            or `off`.
        columns: optional columns that stay.
    """

    handling: Handling = "scrub"
    modalities: tuple[str, ...] = ("CR", "DX", "CT", "MR", "MG", "US", "NM", "PT", "XA", "RF")
    volumes: tuple[str, ...] = ("CT", "MR", "PT")
    faces: Literal["refuse", "keep"] = "refuse"
    face_sites: tuple[str, ...] = (
        *("HEAD", "HEADNECK", "BRAIN", "FACE", "SKULL", "SINUS", "ORBIT", "EYE", "JAW", "MAXILLA"),
        *("WHOLEBODY", "NECK", "CSPINE"),
    )
    unknown_sites: Literal["refuse", "keep"] = "refuse"
    burned_in: Literal["detector", "ocr", "off"] = "detector"
    columns: tuple[str, ...] = ("body_site", "spacing_mm", "orientation", "window_center", "window_width")


@spec
class RiskRules:
    """What is done about patients whom few others are like.

    Attributes:
        smallest_cell: how many patients must share sex, birth year and ZIP3, as they stand in the result.
        suppress: hide the ZIP3 of patients in smaller cells, then leave out those who still are in one. Else
            the risk is measured, and that is all.
        officers: fingerprints of keys, one of which must sign `risk.json` before `build` takes the data;
            empty where nobody has to.
    """

    smallest_cell: int = 11
    suppress: bool = False
    officers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.smallest_cell < 1:
            raise ValueError("smallest_cell must be 1 or more")
        if any(not one.startswith("sha256:") or len(one) != 71 for one in self.officers):
            raise ValueError("officers takes fingerprints as `release make-key` prints them: sha256:…")


@spec
class VariantsRules:
    """What passes of genomes.

    Attributes:
        handling: `scrub` them, or leave them `out`.
        genes: whose variants pass; empty for the list in `variants.toml`.
        names: rs numbers that pass, whatever the gene; empty for the list in `variants.toml`.
        positions: others that pass, as `assembly:chromosome:position`.
        rare_patients: a variant that is on neither list by its name, and that fewer patients have, goes.
        rare_named_patients: the same for one that is listed by name, and for star alleles.
    """

    handling: Handling = "scrub"
    genes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    rare_patients: int = 11
    rare_named_patients: int = 1

    def __post_init__(self) -> None:
        if any(one.count(":") != 2 for one in self.positions):
            raise ValueError("positions are written assembly:chromosome:position")

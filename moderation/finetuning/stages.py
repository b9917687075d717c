"""Which comments are learned, in which order."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One pass over a mix of sources.

    Parameters
    ----------
    name
        Of its checkpoint.
    rows
        How many rows of a source are drawn, the source's own order shuffled; those not named give none.
    own
        How often each line of our own sentences is drawn, with another filling each time.
    learning_rate
        Peak; it falls to nothing at the end.
    often
        How often instead, for some of our own sources.
    start
        Earlier stages whose mean weights it begins with; where none is named it goes on from the one before.
    taught
        Whether public comments are labelled by the network as the stage begins, so that what it makes of them stays.
    """

    name: str
    rows: dict[str, int]
    own: int
    learning_rate: float
    often: dict[str, int] = field(default_factory=dict)
    start: tuple[str, ...] = ()
    taught: bool = False


NEWEST = (
    "implicit_attack",
    "lawful_heat",
    "twins_adverts",
    "twins_channels",
    "twins_conduct",
    "twins_countries",
    "twins_evasion",
    "twins_hidden",
    "twins_identity",
    "twins_irony",
    "twins_lgbt",
    "twins_persons",
    "twins_pronouns",
    "twins_proposals",
    "twins_quoted",
    "twins_short",
    "twins_slights",
    "twins_swearing",
    "twins_threats",
    "twins_voices",
    "twins_vulgar",
)
"""Files of our own sentences that no earlier stage of the model shipped has seen."""

STAGES = (
    Stage(
        "broad",
        {
            "jigsaw-subsets": 26_000,
            "civil-toxic-spans": 12_000,
            "paradetox": 8_000,
            "edos": 6_000,
            "davidson": 5_000,
            "implicit-hate": 5_000,
            "hatexplain": 4_000,
            "hatemoji": 5_000,
            "wiki-context-toxicity": 5_000,
            "misogyny-eacl": 2_000,
            "convabuse": 2_000,
            "stormfront": 1_500,
            "mlma-en": 1_000,
            "sms-spam": 1_500,
            "paradetox-cannot": 1_000,
            "youtube-spam": 1_300,
        },
        1,
        8e-5,
    ),
    Stage(
        "near",
        {
            "civil-toxic-spans": 12_000,
            "jigsaw-subsets": 12_000,
            "wiki-context-toxicity": 4_000,
            "hatemoji": 2_500,
            "edos": 1_500,
            "implicit-hate": 1_000,
            "paradetox": 2_000,
            "davidson": 1_000,
            "convabuse": 500,
            "youtube-spam": 1_300,
        },
        3,
        6e-5,
    ),
    Stage(
        "own",
        {
            "civil-toxic-spans": 8_000,
            "jigsaw-subsets": 8_000,
            "wiki-context-toxicity": 2_000,
            "hatemoji": 1_500,
            "paradetox": 1_000,
            "youtube-spam": 1_300,
        },
        4,
        6e-5,
    ),
    Stage(
        "long",
        {
            "jigsaw-subsets": 26_000,
            "civil-toxic-spans": 13_000,
            "paradetox": 6_000,
            "wiki-context-toxicity": 5_000,
            "hatemoji": 5_000,
            "edos": 5_000,
            "implicit-hate": 4_000,
            "davidson": 3_000,
            "hatexplain": 2_000,
            "convabuse": 1_500,
            "misogyny-eacl": 1_500,
            "youtube-spam": 1_300,
            "sms-spam": 800,
        },
        10,
        1.5e-4,
    ),
    Stage(
        "last",
        {
            "jigsaw-subsets": 12_000,
            "civil-toxic-spans": 12_000,
            "wiki-context-toxicity": 2_000,
            "hatemoji": 4_000,
            "edos": 1_500,
            "implicit-hate": 1_000,
            "paradetox": 1_500,
            "convabuse": 500,
            "youtube-spam": 1_300,
        },
        5,
        1e-4,
    ),
    Stage(
        "ours",
        {
            "civil-toxic-spans": 10_000,
            "jigsaw-subsets": 5_000,
            "hatemoji": 400,
            "edos": 400,
            "implicit-hate": 600,
            "wiki-context-toxicity": 400,
            "davidson": 300,
            "hatexplain": 300,
            "youtube-spam": 1_300,
        },
        1,
        6e-5,
        {f"own:{name}": 4 for name in NEWEST},
        start=("broad", "near", "own", "long", "last"),
        taught=True,
    ),
)

ROUTING = Stage(
    "routing",
    {
        "jigsaw-subsets": 26_000,
        "civil-toxic-spans": 12_000,
        "paradetox": 14_000,
        "wiki-context-toxicity": 8_000,
        "edos": 8_000,
        "davidson": 8_000,
        "implicit-hate": 6_000,
        "hatexplain": 6_000,
        "hatemoji": 5_000,
        "misogyny-eacl": 5_000,
        "sms-spam": 4_000,
        "convabuse": 2_000,
        "stormfront": 2_000,
        "paradetox-cannot": 2_000,
        "mlma-en": 1_000,
        "youtube-spam": 1_300,
    },
    3,
    0.0,
)
"""What the router learns from the encoder, labels and all."""

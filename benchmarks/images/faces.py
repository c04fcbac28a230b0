"""The typefaces the set is set in: Matplotlib's own, and Debian's where they are installed."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

DEBIAN = Path("/usr/share/fonts")
PACKAGES = (
    "fonts-breip fonts-bwht fonts-comic-neue fonts-dancingscript fonts-dkg-handwriting fonts-ebgaramond"
    " fonts-ecolier-court fonts-femkeklaver fonts-hack fonts-humor-sans fonts-klee fonts-kristi fonts-lato"
    " fonts-liberation fonts-kaushanscript fonts-leckerli-one fonts-rufscript fonts-sjfonts fonts-tomsontalks"
    " fonts-kiloji fonts-seto fonts-yusei-magic fonts-lobster fonts-havana fonts-roboto-unhinted fonts-open-sans"
    " fonts-urw-base35 fonts-jetbrains-mono"
)
"""The Debian packages of the typefaces below, for `apt-get install`."""


@dataclass(frozen=True, slots=True)
class Faces:
    """A group of typefaces."""

    title: str
    files: list[Path]


def all_faces() -> list[Faces]:
    """Handwriting and print; no constant was chosen by looking at those held out.

    FileNotFoundError names the Debian packages when a face is missing.
    """
    groups = [
        Faces("handwriting fonts", _debian(HANDWRITING)),
        Faces("print, upright", [*_matplotlib(MATPLOTLIB_UPRIGHT), *_debian(UPRIGHT)]),
        Faces("print, slanted", [*_matplotlib(MATPLOTLIB_SLANTED), *_debian(SLANTED)]),
        Faces("print, hairline and black", _debian(EXTREME)),
        Faces("handwriting fonts, held out", _debian(HELD_OUT_HANDWRITING)),
        Faces("print, held out", _debian(HELD_OUT_PRINT)),
    ]
    missing = [file.name for group in groups for file in group.files if not file.exists()]
    if missing:
        raise FileNotFoundError(f"{', '.join(missing)}: apt-get install {PACKAGES}")
    return groups


def _matplotlib(names: str) -> list[Path]:
    return [Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf" for name in names.split()]


def _debian(names: str) -> list[Path]:
    return [DEBIAN / name for name in names.split()]


MATPLOTLIB_UPRIGHT = """
    DejaVuSans DejaVuSans-Bold DejaVuSansMono DejaVuSerif DejaVuSerif-Bold STIXGeneral STIXGeneralBol
    cmr10 cmss10 cmtt10
"""
MATPLOTLIB_SLANTED = "DejaVuSans-Oblique DejaVuSerif-Italic STIXGeneralItalic STIXGeneralBolIta"

HANDWRITING = """
    truetype/breip/Breip.ttf truetype/fifthhorseman/dkg.ttf truetype/humor-sans/Humor-Sans.ttf
    truetype/femkeklaver/femkeklaver.ttf truetype/kristi/Kristi.ttf truetype/ecolier-court/Ecolier-court.ttf
    truetype/klee/KleeOne-Regular.ttf opentype/comic-neue/ComicNeue-Regular.otf
    opentype/dancingscript/DancingScript-Regular.otf opentype/bwht/BecauseWeBuild-Regular.otf
    opentype/bwht/BecauseWeConnect-Regular.otf opentype/bwht/BecauseWeCreate-Regular.otf
    opentype/bwht/BecauseWeLearn-Regular.otf opentype/bwht/BecauseWeMentor-Regular.otf
    opentype/bwht/BecauseWeOrganize-Regular.otf
"""
UPRIGHT = """
    truetype/liberation/LiberationMono-Regular.ttf truetype/liberation/LiberationSans-Regular.ttf
    truetype/liberation/LiberationSans-Bold.ttf truetype/liberation/LiberationSansNarrow-Regular.ttf
    truetype/liberation/LiberationSerif-Regular.ttf truetype/lato/Lato-Regular.ttf truetype/lato/Lato-Light.ttf
    truetype/hack/Hack-Regular.ttf opentype/ebgaramond/EBGaramond12-Regular.otf
"""
SLANTED = """
    truetype/liberation/LiberationSans-Italic.ttf truetype/liberation/LiberationSerif-Italic.ttf
    truetype/lato/Lato-Italic.ttf truetype/hack/Hack-Italic.ttf opentype/ebgaramond/EBGaramond12-Italic.otf
"""
EXTREME = """
    truetype/lato/Lato-Hairline.ttf truetype/lato/Lato-HairlineItalic.ttf truetype/lato/Lato-Thin.ttf
    truetype/lato/Lato-Heavy.ttf truetype/lato/Lato-Black.ttf truetype/lato/Lato-BlackItalic.ttf
    truetype/liberation/LiberationSansNarrow-Bold.ttf
"""
HELD_OUT_HANDWRITING = """
    opentype/kaushanscript/KaushanScript-Regular.otf truetype/leckerli-one/LeckerliOne-Regular.ttf
    truetype/rufscript/Rufscript010.ttf truetype/sjfonts/Delphine.ttf truetype/sjfonts/SteveHand.ttf
    truetype/tomsontalks/TomsonTalks.ttf truetype/kiloji/kiloji.ttf truetype/kiloji/kiloji_b.ttf
    truetype/seto/setofont.ttf truetype/yusei-magic/YuseiMagic-Regular.ttf opentype/lobster/lobster.otf
    opentype/havana/Havana-Regular.otf opentype/urw-base35/Z003-MediumItalic.otf
"""
HELD_OUT_PRINT = """
    truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf truetype/roboto/unhinted/RobotoTTF/Roboto-Thin.ttf
    truetype/roboto/unhinted/RobotoTTF/Roboto-BlackItalic.ttf truetype/open-sans/OpenSans-Regular.ttf
    truetype/open-sans/OpenSans-CondLight.ttf truetype/open-sans/OpenSans-ExtraBold.ttf
    truetype/jetbrains-mono/JetBrainsMono-Regular.ttf truetype/jetbrains-mono/JetBrainsMono-ThinItalic.ttf
    opentype/urw-base35/C059-Roman.otf opentype/urw-base35/C059-BdIta.otf
    opentype/urw-base35/NimbusMonoPS-Regular.otf opentype/urw-base35/NimbusRoman-Italic.otf
    opentype/urw-base35/NimbusSansNarrow-Bold.otf opentype/urw-base35/P052-Roman.otf
    opentype/urw-base35/URWBookman-Demi.otf opentype/urw-base35/URWGothic-Book.otf
"""

"""What placeholders say, in the languages and letter cases of the web, and the fonts to say it."""

from __future__ import annotations

import importlib.util
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

from curate.synthetic.scrubbed_words import SYLLABLES, TOP_LEVEL_DOMAINS

Rng = np.random.Generator
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

LATIN_MESSAGES = (
    "image not found",
    "image not available",
    "no image available",
    "no image",
    "no photo",
    "no photo available",
    "photo not available",
    "photo coming soon",
    "image coming soon",
    "coming soon",
    "picture not available",
    "picture coming soon",
    "sorry, no image available",
    "image unavailable",
    "preview not available",
    "no preview",
    "no thumbnail",
    "image removed",
    "this image has been removed",
    "this image or video has been moved or deleted",
    "the image you are requesting does not exist or is no longer available",
    "hotlinking forbidden",
    "hotlinking is not allowed",
    "please do not steal our bandwidth",
    "bandwidth exceeded",
    "bandwidth limit reached, image blocked",
    "account suspended",
    "404",
    "404 not found",
    "error 404",
    "403 forbidden",
    "410 gone",
    "500 error",
    "file not found",
    "page not found",
    "oops!",
    "under construction",
    "site under maintenance",
    "content not available",
    "content is not available in your region",
    "image blocked",
    "access denied",
    "loading",
    "loading...",
    "please wait",
    "placeholder",
    "image placeholder",
    "your image here",
    "your logo here",
    "your ad here",
    "advertisement",
    "insert image here",
    "image",
    "photo",
    "picture",
    "thumbnail",
    "default",
    "n/a",
    "no logo",
    "no cover",
    "no cover available",
    "no poster",
    "no picture",
    "awaiting image",
    "image pending",
    "image to follow",
    "missing image",
    "missing",
    "image error",
    "unable to load image",
    "failed to load",
    "broken image",
    "video unavailable",
    "this video is private",
    "deleted",
    "expired",
    "offline",
    "no signal",
    "no data",
    "sold out",
    "private photo",
    "members only",
    "adult content",
    "sensitive content",
    "copyright claim: image removed",
    "view on our website",
    "click to view",
    "tap to load image",
    "image hosted by",
    "free image hosting",
    "upgrade your account to enable 3rd party hosting",
    "kein bild",
    "kein bild vorhanden",
    "kein foto verfügbar",
    "bild nicht gefunden",
    "bild folgt",
    "keine vorschau",
    "pas d'image",
    "image non disponible",
    "photo non disponible",
    "image introuvable",
    "aperçu indisponible",
    "bientôt disponible",
    "imagen no disponible",
    "sin imagen",
    "sin foto",
    "foto no disponible",
    "imagen no encontrada",
    "próximamente",
    "immagine non disponibile",
    "nessuna immagine",
    "foto non disponibile",
    "imagem não disponível",
    "sem imagem",
    "imagem não encontrada",
    "sem foto",
    "geen afbeelding",
    "afbeelding niet beschikbaar",
    "geen foto beschikbaar",
    "brak zdjęcia",
    "zdjęcie niedostępne",
    "obrázek není k dispozici",
    "bez obrázku",
    "nincs kép",
    "a kép nem elérhető",
    "ingen bild",
    "bild saknas",
    "ingen billede",
    "bilde mangler",
    "ei kuvaa",
    "kuva puuttuu",
    "resim yok",
    "resim bulunamadı",
    "görsel hazırlanıyor",
    "fără imagine",
    "imagine indisponibilă",
    "nema slike",
    "tidak ada gambar",
    "gambar tidak tersedia",
    "không có hình ảnh",
    "walang larawan",
)
OTHER_MESSAGES = (
    "нет фото",
    "нет изображения",
    "изображение отсутствует",
    "фото скоро будет",
    "картинка не найдена",
    "изображение недоступно",
    "немає зображення",
    "фото відсутнє",
    "няма снимка",
    "нема слике",
    "χωρίς εικόνα",
    "η εικόνα δεν βρέθηκε",
    "μη διαθέσιμη εικόνα",
    "նկար չկա",
    "სურათი არ არის",
)
"""Messages in scripts that Pillow's own font lacks."""

_DEJAVU = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
)


@dataclass(frozen=True)
class Typeface:
    """A font file, or Pillow's own font when ``path`` is None.

    Pillow's font has the ASCII characters only: texts are then written without their accents.
    """

    path: Path | None = None

    def load(self, pixels: float) -> Font:
        """The font at a height in pixels."""
        height = max(5.0, pixels)
        return _own_font(height) if self.path is None else _file_font(self.path, height)

    def spell(self, text: str) -> str:
        """The text in characters that the font has."""
        if self.path is not None:
            return text
        decomposed = unicodedata.normalize("NFKD", text.replace("ı", "i"))
        return decomposed.encode("ascii", "ignore").decode("ascii")


@lru_cache(maxsize=256)
def _own_font(height: float) -> Font:
    return ImageFont.load_default(height)


@lru_cache(maxsize=512)
def _file_font(path: Path, height: float) -> Font:
    return ImageFont.truetype(str(path), height)


OWN_TYPEFACE = Typeface()


def installed_typefaces() -> tuple[Typeface, ...]:
    """Pillow's font, and the DejaVu family when matplotlib is installed (it ships with it)."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return (OWN_TYPEFACE,)
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    files = (folder / name for name in _DEJAVU)
    return (OWN_TYPEFACE, *(Typeface(file) for file in files if file.is_file()))


def site_name(rng: Rng) -> str:
    """A made-up name of a site: "fotozon.net"."""
    syllables = [SYLLABLES[i] for i in rng.integers(0, len(SYLLABLES), int(rng.integers(2, 4)))]
    return "".join(syllables) + TOP_LEVEL_DOMAINS[int(rng.integers(len(TOP_LEVEL_DOMAINS)))]


def message(rng: Rng, typeface: Typeface) -> str:
    """What a placeholder says, in characters that the typeface has."""
    others = typeface.path is not None and rng.random() < 0.12
    source = OTHER_MESSAGES if others else LATIN_MESSAGES
    text = source[int(rng.integers(len(source)))]
    styles = (text, text.upper(), text.title(), text.capitalize(), text.capitalize())
    text = styles[int(rng.integers(len(styles)))]
    if rng.random() < 0.1:
        text += ("!", ".", "...", " :(")[int(rng.integers(4))]
    if rng.random() < 0.08:
        text = f"{site_name(rng)} {text}"
    return typeface.spell(text)


def wrap(text: str, columns: int) -> str:
    """The text broken at spaces into lines of about ``columns`` characters."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)

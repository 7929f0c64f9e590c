"""Word lists from which :mod:`curate.synthetic.scrubbed` composes captions."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SYLLABLES = _words(
    "ba be bi bo bu ca ce co da de di do fa fi fo ga ge go ha he ho ja jo ka ke ki ko la le li lo "
    "ma me mi mo na ne no pa pe pi po ra re ri ro sa se si so ta te ti to va ve vi vo wa wi xa xe "
    "ya yo za ze zo bla cra dri fle glo ple pri sta stre tron web shop net pix gram mart zon"
)
TOP_LEVEL_DOMAINS = (".com", ".net", ".org", ".de", ".co.uk", ".fr", ".ru", ".info", ".io", ".jp")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

TAG_BRACKETS = (("<", ">"), ("<", ">"), ("<", ">"), ("[", "]"), ("{", "}"), ("&lt;", "&gt;"))
TAG_NAMES = _words(
    "PERSON PERSON PERSON NAME LOCATION ORG ORGANIZATION DATE GPE USER ANON REDACTED EMAIL PHONE "
    "ADDRESS CITY ENTITY FIRST_NAME LAST_NAME UNK"
)
TAG_JOINERS = ("and", "&", "with", "by", "at", "in", "/", "-", "vs", "for", "et", "und", "y")
TAG_BEFORE = (
    "by",
    "photo of",
    "Photo by",
    "picture of",
    "profile picture of",
    "posted by",
    "image of",
    "view profile of",
    "Mr.",
    "author:",
    "portrait of",
    "with",
    "from",
    "about",
    "meet",
    "Avatar of",
    "a photo of",
)
TAG_AFTER = (
    "'s profile",
    "photo",
    "avatar",
    "profile picture",
    "headshot",
    "image",
    "says",
    "2019",
    "on",
    "(photo)",
    "wrote",
    "and others",
    "'s photo",
    "pictures",
    "- profile",
    "bio",
)

FILE_STEMS = _words(
    "IMG img Image image DSC DSCN DSCF DCIM P100 PIC pic Photo photo PXL PANO MVC SAM GOPR VID "
    "Screenshot screenshot Screen-Shot screencap scan Scan00 Capture capture untitled Untitled "
    "Unbenannt download file Bild foto Foto picture imagen WhatsApp-Image received image-asset "
    "unnamed thumb thumbnail header banner slide hero bg background logo icon photo-output output "
    "export final final-v cropped resized default media attachment upload post page tumblr "
    "maxresdefault hqdefault original large small medium full copy frame figure fig snapshot"
)
FILE_SUFFIXES = (
    ".jpg",
    ".JPG",
    ".jpeg",
    ".png",
    ".PNG",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".svg",
    ".pdf",
    ".psd",
    ".heic",
    ".cr2",
    ".avif",
    ".php",
    "@2x.png",
    "_thumb.jpg",
)

STOP_PHRASES = (
    "image",
    "photo",
    "picture",
    "pic",
    "img",
    "untitled",
    "thumbnail",
    "thumb",
    "featured image",
    "post thumbnail",
    "preview",
    "click to enlarge",
    "click image to enlarge",
    "click to zoom",
    "view larger",
    "loading",
    "loading image",
    "product image",
    "main product photo",
    "default alt text",
    "alt text",
    "alt",
    "image alt",
    "no alt text",
    "logo",
    "site logo",
    "company logo",
    "banner",
    "avatar",
    "user avatar",
    "profile photo",
    "profile picture",
    "default avatar",
    "icon",
    "menu icon",
    "placeholder",
    "image placeholder",
    "placeholder image",
    "no image",
    "no photo",
    "image not available",
    "no image available",
    "image not found",
    "no description",
    "no description available",
    "description",
    "no caption",
    "caption",
    "enter caption here",
    "insert alt text here",
    "your text here",
    "title",
    "no title",
    "unknown",
    "n/a",
    "none",
    "null",
    "blank",
    "empty",
    "spacer",
    "default",
    "sample",
    "example image",
    "test",
    "cover",
    "cover image",
    "hero image",
    "header",
    "background",
    "background image",
    "slide",
    "slideshow",
    "gallery",
    "gallery image",
    "photo gallery",
    "image gallery",
    "album",
    "carousel",
    "next",
    "previous",
    "back",
    "home",
    "menu",
    "close",
    "open",
    "play",
    "play video",
    "video",
    "video thumbnail",
    "watch",
    "search",
    "print",
    "email",
    "map",
    "advertisement",
    "ad",
    "sponsored",
    "promo",
    "sale",
    "new",
    "hot",
    "free shipping",
    "sold out",
    "out of stock",
    "related posts",
    "post image",
    "article image",
    "blog image",
    "page image",
    "author image",
    "author",
    "admin",
    "wallpaper",
    "full size",
    "original size",
    "image may contain",
    "photo by",
    "image courtesy of",
    "image result",
    "stock photo",
    "stock image",
    "royalty free image",
    "artwork",
    "graphic",
    "illustration",
    "figure",
    "chart",
    "diagram",
    "screenshot",
    "attachment",
    "file",
    "uploaded image",
    "user uploaded image",
    "image description",
    "decorative image",
    "decorative",
    "photo 1 of 1",
    "enlarge",
    "zoom",
    "details",
    "see more",
    "bild",
    "foto",
    "imagen",
    "immagine",
    "obraz",
    "afbeelding",
    "bilde",
    "kuva",
    "kép",
    "imagem",
    "изображение",
    "фото",
    "картинка",
    "画像",
    "图片",
    "写真",
    "사진",
    "صورة",
    "sin título",
    "ohne titel",
    "sans titre",
    "senza titolo",
    "vorschaubild",
    "vignette",
    "miniatura",
    "bild vergrößern",
    "image non disponible",
    "imagen no disponible",
    "kein bild verfügbar",
)

SLOT_QUALITIES = _words(
    "default main small large big mobile desktop primary secondary first top bottom left right "
    "responsive lazy custom new old current full original retina dark light alternate extra"
)
SLOT_PLACES = _words(
    "post article blog product page header footer sidebar category user author profile member team "
    "site company brand item shop store gallery album section slide video news event listing forum "
    "review testimonial widget feed story banner cover entry media content portfolio collection "
    "homepage checkout catalog account channel"
)
SLOT_KINDS = _words(
    "image images photo photos picture pic thumbnail thumb logo banner icon avatar background "
    "graphic preview cover header placeholder img visual artwork tile badge button figure"
)

ACTION_VERBS = _words(
    "click view see read learn discover find-out show get visit browse explore check-out download "
    "buy shop order compare watch open enter go-to return-to back-to continue start join "
    "contact try save add-to request book"
)
ACTION_OBJECTS = (
    "here",
    "more",
    "now",
    "all",
    "details",
    "the full article",
    "the full story",
    "this post",
    "this page",
    "this product",
    "this item",
    "our website",
    "our store",
    "the gallery",
    "the rest",
    "more about it",
    "more information",
    "all reviews",
    "full size",
    "full image",
    "larger image",
    "a larger version",
    "original",
    "profile",
    "options",
    "the best deals",
    "price",
    "your cart",
    "wishlist",
    "photos",
    "more photos",
    "all pictures",
    "video",
    "the link",
    "next page",
    "us",
    "today",
)
ACTION_TAILS = (
    "in this review",
    "in our guide",
    "on our blog",
    "online",
    "today",
    "for free",
    "for more details",
    "for more information",
    "to continue",
    "to see more",
    "to enlarge",
    "to view full size",
    "on the next page",
    "in a new window",
    "at the best price",
    "and save",
    "before it is gone",
    "from our partners",
    "with one click",
    "this week",
    "right here",
)

URL_PARTS = _words(
    "images img uploads wp-content media static assets product p post index.html page id cat "
    "gallery photo thumb files view show item node archives blog tag search user default info "
    "contact admin cdn cache large 2019 2014 01 main.php image.jpg"
)

CURRENCIES = ("$", "€", "£", "US$", "USD", "EUR", "¥", "Rs.", "kr", "zł", "CHF", "A$", "₽", "R$")
UNITS = ("px", "cm", "mm", "pixels", "")
PRICE_WORDS = (
    "Price:",
    "Now only",
    "From",
    "Was",
    "Sale price",
    "Starting at",
    "RRP",
    "Save",
    "Only",
    "Buy for",
    "Total:",
    "Our price:",
    "Regular price",
)
DATE_WORDS = (
    "Posted on",
    "Published",
    "Updated",
    "Last modified",
    "Date:",
    "Added",
    "Uploaded",
    "Taken",
    "Available from",
    "Archived",
)
COUNTED = _words(
    "views likes comments shares reviews items photos followers replies points votes pages minutes "
    "min-read downloads results products left sold ratings posts favorites"
)

HTML_TAGS = _words("br p div span img a b strong em li td h1 h2 script style iframe font hr")
HTML_ATTRIBUTES = _words(
    "class id style src href alt width height border align data-src title target margin"
)
TEMPLATE_NAMES = _words(
    "title image product caption alt_text item.name post user site name description url src "
    "file_name image_alt object this data page entry value field index key i18n"
)
ENTITIES = ("nbsp", "amp", "quot", "lt", "gt", "raquo", "laquo", "copy", "#39", "#8217", "hellip")
NULLS = (
    "undefined",
    "null",
    "NaN",
    "None",
    "nil",
    "[object Object]",
    "false",
    "true",
    "#REF!",
    "#N/A",
    "error",
    "array()",
    "<!-- -->",
    "//",
    "alt=''",
    "%s",
    "%d of %d",
    "???",
    "{0}",
    "$1",
    "void(0)",
)

COPYRIGHT_MARKS = ("©", "(c)", "Copyright", "Copyright ©", "&copy;", "Image copyright", "Photo ©")
RIGHTS_HOLDERS = (
    "Getty Images",
    "Shutterstock",
    "iStock",
    "Alamy",
    "AP",
    "Reuters",
    "AFP",
    "EPA",
    "the author",
    "the owner",
    "respective owners",
    "Press Association",
    "Adobe Stock",
    "Dreamstime",
    "Flickr",
    "Handout",
    "Supplied",
    "Creative Commons",
    "Unsplash",
    "Pixabay",
    "our staff",
    "the publisher",
)
RIGHTS_TAILS = (
    "All rights reserved",
    "All rights reserved.",
    "Used with permission",
    "Terms and conditions apply",
    "Do not copy",
    "Unauthorized use prohibited",
    "Alle Rechte vorbehalten",
    "Tous droits réservés",
    "Todos los derechos reservados",
    "Some rights reserved",
    "Licensed under CC BY 2.0",
    "Trademarks belong to their owners",
    "For editorial use only",
)
CREDITS = (
    "Photo:",
    "Image:",
    "Credit:",
    "Photo credit:",
    "Image credit:",
    "Courtesy of",
    "Source:",
    "Foto:",
    "Image courtesy",
    "Picture:",
    "Photograph:",
    "Photos by",
)

NETWORKS = _words(
    "Facebook Twitter Instagram Pinterest LinkedIn YouTube Reddit WhatsApp Tumblr Google+ TikTok "
    "Telegram Snapchat Flickr VK RSS Messenger X Email"
)
SOCIAL_ACTS = (
    "Share",
    "Tweet",
    "Pin it",
    "Like",
    "Follow",
    "Follow us",
    "Subscribe",
    "Comment",
    "Reply",
    "Repost",
    "Save",
    "Send",
    "Join the conversation",
    "Retweet",
    "Bookmark",
    "Report",
    "Sign up",
    "Log in",
    "Upvote",
    "Email this",
    "Print this",
    "Copy link",
    "Leave a reply",
)

GLYPHS = ("★", "☆", "♥", "✓", "→", "▶", "◄", "■", "□", "●", "○", "�", "⋮", "☰", "✕", "​")

LOREM = _words(
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut "
    "labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris "
    "nisi aliquip ex ea commodo consequat duis aute irure in reprehenderit voluptate velit esse "
    "cillum fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui "
    "officia deserunt mollit anim id est laborum vivamus vestibulum nunc posuere turpis"
)

NOTICE_STARTS = (
    "We use cookies",
    "This site uses cookies",
    "By continuing you agree to our terms",
    "Please enable JavaScript",
    "Your browser does not support this",
    "You must be logged in",
    "This content is not available",
    "This page is under construction",
    "An error occurred",
    "Please wait",
    "Sign in",
    "Register now",
    "Accept all",
    "Privacy policy updated",
    "Error 404",
    "Access denied",
    "Session expired",
    "We are sorry",
    "Subscribe to our newsletter",
    "Enter your email",
    "Disable your ad blocker",
    "This video is unavailable",
    "Customers also viewed",
    "You may also like",
    "Comments are closed",
    "This website requires an update",
    "Wir verwenden Cookies",
    "Ce site utilise des cookies",
    "Este sitio usa cookies",
)
NOTICE_ENDS = (
    "to improve your experience",
    "to view this content",
    "to continue",
    "and try again later",
    "in your country",
    "while we load the page",
    "for the best experience",
    "or contact the administrator",
    "before proceeding",
    "at this time",
    "by using this website",
    "and get 10% off",
    "to leave a comment",
    "- more information",
    "to see prices",
    "to unlock everything",
    "for members only",
    "",
)

KEYBOARD_RUNS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefgh", "1234567890", "aaaaaaaaaa")
TEST_WORDS = ("test", "testing", "foo", "bar", "xxx", "temp", "tmp", "asdf", "blah", "new", "dummy")

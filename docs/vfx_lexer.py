"""Colours for specs in the documents."""

from pygments.lexer import RegexLexer, words
from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, Punctuation, String, Text

DECLARATIONS = ("spec", "input", "model", "data", "trigger", "param", "property", "include", "let", "forall", "assert")
GOALS = ("search", "measure", "exists", "where", "in", "at", "with", "for", "of", "and", "or", "not", "one", "within")
FUNCTIONS = (
    "image",
    "tokens",
    "table",
    "series",
    "class",
    "classes",
    "binary",
    "real",
    "rate",
    "correct",
    "label",
    "abs",
)
UNITS = ("px", "ch", "level", "step", "year", "token")


class VfxLexer(RegexLexer):
    """The spec language, roughly: enough to tell words, names, numbers and texts apart."""

    name = "Verifluxa spec"
    aliases = ("vfx",)
    filenames = ("*.vfx",)
    tokens = {  # noqa: RUF012 - what Pygments asks for
        "root": [
            (r"#.*$", Comment.Single),
            (r'"""(?s:.*?)"""', String.Doc),
            (r'"(?:\\.|[^"\\\n])*"', String.Double),
            (r"sha256:[0-9a-f]+", Literal),
            (words(DECLARATIONS, prefix=r"\b", suffix=r"\b"), Keyword.Declaration),
            (words(GOALS, prefix=r"\b", suffix=r"\b"), Keyword),
            (words(FUNCTIONS, prefix=r"\b", suffix=r"\b(?=\s*\()"), Name.Builtin),
            (words(UNITS, prefix=r"\b", suffix=r"s?\b"), Keyword.Type),
            (r"\d[\d_]*(?:\.\d+)?(?:e-?\d+)?", Number),
            (r"->|\.\.|[<>=!]=?|[-+*/%]", Operator),
            (r"[][(){}:,.]", Punctuation),
            (r"[A-Za-z_]\w*", Name),
            (r"\s+", Text),
            (r".", Text),
        ]
    }

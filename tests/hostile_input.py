"""What an attacker would write where the console shows it: each has to come out inert, wherever it is shown."""

from typing import Final

#: Texts that would run, load or break something if a page did not escape them.
MARKUP: Final = (
    "<script>document.title='taken'</script>",
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "<svg/onload=document.title='taken'>",
    '"><b onmouseover="document.title=\'taken\'">x</b>',
    "' autofocus onfocus='document.title=\"taken\"'",
    "<iframe srcdoc=\"<script>parent.document.title='taken'</script>\"></iframe>",
    "<a href=\"javascript:document.title='taken'\">x</a>",
    "javascript:document.title='taken'",
    "<style>body{display:none}</style>",
    '<div hx-get="/logout" hx-trigger="load" hx-on:load="document.title=\'taken\'">',
    "<form action=https://evil.example><button>x</button></form>",
    "{{ 7 * 7 }}{% raw %}${7*7}#{7*7}",
    "<!--[if true]><script>document.title='taken'</script><![endif]-->",
    "data: x\n\nevent: stolen\ndata: <script>document.title='taken'</script>",
    "\u202e\u2066right to left\u2069\x00\x07",
    "\ud800<b>",
)

#: Cells that a spreadsheet would take for formulas.
FORMULAS: Final = (
    '=HYPERLINK("https://evil.example","x")',
    "=cmd|'/c calc'!A1",
    "+1+cmd|'/c calc'!A1",
    "-2+3+cmd|'/c calc'!A1",
    "@SUM(1+1)*cmd|'/c calc'!A1",
    "\t=1+1",
    "\r=1+1",
)

#: Names that would lead out of a folder.
PATHS: Final = (
    "../velocity.toml",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "%00/etc/passwd",
    "vendor/../../app.py",
    "console.css%00.js",
    "vendor/vendor.json",
)

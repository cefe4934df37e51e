"""Names that would be markup, a script, or a template, where they were not taken for text."""

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "<b>%{x} %{y}<br></b>",
    "<!-- <script> &lt;i&gt; ${alert(5)}",
    '<a href="javascript:alert(6)">x</a>',
)

"""Parts of a page."""

from pathlib import Path

from modem import htmlpage
from modem.evaluation.tables import make_table


def test_text_is_never_markup() -> None:
    shown = make_table("<t>", ("<h>",), [("<c>",)], "<n>")
    parts = [htmlpage.table(shown), htmlpage.paragraph("<p>"), htmlpage.heading("<h2>"), htmlpage.code("<c>")]
    page = htmlpage.document("<title>", parts)
    for name in ("t", "h", "c", "n", "p"):
        assert f"&lt;{name}&gt;" in page
    assert "<title>&lt;title&gt;</title>" in page


def test_a_row_that_adds_up_the_others_stands_out() -> None:
    shown = htmlpage.table(make_table("t", ("domain", "n"), [("math", "1"), ("all", "1")]))
    assert '<tr><td>math</td><td>1</td></tr><tr class="total"><td>all</td><td>1</td></tr>' in shown
    assert "note" not in shown


def test_paragraphs_may_have_a_kind() -> None:
    assert htmlpage.paragraph("x") == "<p>x</p>"
    assert htmlpage.paragraph("x", "bad") == '<p class="bad">x</p>'


def test_an_image_is_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    assert htmlpage.image(path) == '<p><img alt="a" src="data:image/png;base64,YWJj"></p>'

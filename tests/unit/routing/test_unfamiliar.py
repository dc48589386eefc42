import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.unfamiliar import unfamiliar


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0"])
def test_nothing_is_empty(text: str) -> None:
    assert unfamiliar(text) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        "asdkjh qwlekj zxmcn",
        "asdfghjkl",
        "fjdksla; ghfjdk",
        "nbiqpmzjpl gqejeydt irwztejdxc vkprdlnktu",
        "sdfsdf sdfsdfg dfgdfg",
        "kjhkjh lkjlkj mnbmnb",
        "...",
        "???",
        "#$%^&*()",
        "!!!! ??? ....",
    ],
)
def test_characters_at_random_are_seen(text: str) -> None:
    assert unfamiliar(text) == "characters"


@pytest.mark.parametrize(
    "text",
    [
        "今天天气怎么样",
        "请解方程 3x - 7 = 2(x + 4)",
        "Как приготовить борщ?",
        "привет",
        "ما هي عاصمة فرنسا؟",
        "नमस्ते, आप कैसे हैं?",
        "こんにちは",
        "안녕하세요",
        "Τι είναι η φιλοσοφία;",  # noqa: RUF001 (Greek it is)
        "¿Cuál es la capital de Francia?",
        "Mi perro está enfermo, ¿qué hago?",
        "Quelle est la capitale de l'Espagne ?",
        "Comment puis-je trier une liste en Python ?",
        "Wie viele Einwohner hat Berlin?",
        "Warum kann ein Magnet durch Papier ziehen?",
        "Quanto costa un biglietto per Roma?",
        "Como faço para desfazer um commit no git?",
        "Hoeveel kost een kaartje naar Amsterdam?",
    ],
)
def test_other_languages_are_seen(text: str) -> None:
    assert unfamiliar(text) == "language"


@pytest.mark.parametrize(
    "text",
    [
        "hi",
        "x",
        "42",
        "🙂",
        "What is the capital of France?",
        "who was angela merkel",
        "what does raison d'être mean",
        "Translate 你好 to English",
        "How do you say 'good morning' in German?",
        "naïve Bayes",
        "Übermensch Zeitgeist Schadenfreude",
        "Nguyen Thi Ngoc, Krzysztof Szczepański, Dvořák",
        "lol brb omg",
        "pls hlp wth my hmwrk",
        # formulas
        "2+2",
        "x^2 + y^2 = r^2",
        "α + β = γ",  # noqa: RUF001 (so it is written)
        "∀x∃y P(x, y)",
        r"\frac{d}{dx} \sin(x)",
        r"Simplify: $\frac{2-\sqrt{5}}{-3+\sqrt{5}}$",
        "d/dx of ln x",
        "lim x->0 sin x / x",
        "H2SO4 + NaOH",
        # code
        "def foo(x): return x + 1",
        "SELECT name FROM users WHERE id = 3 ORDER BY name",
        "kubectl get pods -n kube-system",
        "grep -rn foo | xargs wc -l",
        "for(i=0;i<n;i++)",
        "strncpy memcpy printf scanf",
        "nginx",
        "xlsx",
        "mysqldb psycopg2",
        "HTML CSS JS PHP SQL",
        "tcp udp http ssh ftp",
        "http://www.example.com/xyz",
        "aGVsbG8gd29ybGQ=",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        # terms of art
        "Gene TP53 mutation carcinoma metastasis therapy",
        "biofilm quorum sensing autoinducer",
        "TP53 BRCA1 KRAS EGFR",
        "HbA1c TSH CBC LFTs",
        "ATGCGTACGTTAGC",
        "What are the symptoms of Keratoconus posticus circumscriptus ?",
        "non-refoulement principle refugee convention",
        "python pandas dataframe groupby sum column",
    ],
)
def test_what_a_router_was_made_for_is_familiar(text: str) -> None:
    assert unfamiliar(text) is None


def test_a_foreign_quotation_in_an_english_question_is_familiar() -> None:
    text = (
        "What did the poet mean by this line: 'Wer reitet so spät durch Nacht und Wind?' Please explain it."
    )
    assert unfamiliar(text) is None


def test_a_long_text_is_judged_by_its_beginning() -> None:
    assert unfamiliar("Was ist denn hier bloß los heute? " * 10_000) == "language"


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert unfamiliar(text) in (None, "empty", "characters", "language")

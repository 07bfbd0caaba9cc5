"""A page on which a person logs in is recognised; a page of an application is not."""

import pytest

from gatepass._net.login_page import describe_html, leads_to_login

PAGE = "https://mi.example.com/mi/"


@pytest.mark.parametrize(
    "html",
    [
        "<form><input type='PASSWORD'></form>",
        '<input name=u><input id=p\n type = "password" >',
        '<form action="/Account/Sign-In" method=post><input name=user></form>',
        '<meta content="2; URL=\'/adfs/ls/?wa=x\'" http-equiv="refresh">',
        '<meta http-equiv="refresh" content="0,/logon.aspx">',
        '<form action="https://idp.test/"><input type="hidden" name="SAMLRequest" value="x"/>',
        '<script>location.replace("/oauth2/start?rd=%2F")</script>',
        '<script>window.location = "/x?ReturnUrl=%2Fmi"</script>',
    ],
)
def test_login_pages_of_each_kind_are_recognised(html: str) -> None:
    assert describe_html(f"<!doctype html><html><head></head>{html}", PAGE)


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<h1>login: please read</h1>",
        '<!-- <input type="password"> --><p>ok</p>',
        '<form action="/search"><input type="text" name="q"></form>',
        '<meta http-equiv="refresh" content="30">',
        '<meta http-equiv="refresh" content="0; url=/start">',
        '<a href="/login">log in as somebody else</a>',
        '<form action="//[" method="post"></form>',
    ],
)
def test_other_pages_are_not(html: str) -> None:
    assert describe_html(html, PAGE) == ""


@pytest.mark.parametrize("path", ["/catalog/in", "/blog/index", "/authors", "/cases", "/a?next=2"])
def test_a_word_that_holds_another_is_no_login(path: str) -> None:
    assert not leads_to_login(f"https://mi.example.com{path}")


def test_a_hostile_page_takes_time_in_proportion_to_its_length() -> None:
    refresh = "<meta http-equiv=refresh content='1;x"
    for head, part in (
        *(("", each) for each in ("<input ", "<!--", "location='", f"{refresh}'", "a=")),
        *(("<input ", each) for each in ("a", " ", "a=", "a= ", "a='", 'a="')),
        *((refresh, each) for each in (" ", "' ", "?a=&")),
    ):
        assert describe_html(head + part * (65_536 // len(part)) + ">", PAGE) == ""

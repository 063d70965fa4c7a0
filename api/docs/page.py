"""The page of documentation, to try the routes in: Swagger UI, from this package.

It sets styles of its elements as it goes, so its page may; scripts come from here alone.
"""

from api.hardening import DOCS_PATH
from api.shipped import PACKAGE, PAGE_CSP, VENDORED, Pages, file_at


def documentation() -> Pages:
    """Return the page and what it loads."""
    swagger = VENDORED / "swagger-ui-dist"
    return Pages(
        path=DOCS_PATH,
        page=file_at(PACKAGE / "docs/page.html"),
        files={
            "start.js": file_at(PACKAGE / "docs/start.js"),
            "swagger-ui-bundle.js": file_at(swagger / "swagger-ui-bundle.js"),
            "swagger-ui.css": file_at(swagger / "swagger-ui.css"),
        },
        csp=PAGE_CSP.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
    )

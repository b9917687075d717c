"""Requests of chance that the OpenAPI document allows, and does not allow: no 5xx, and answers as it says."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from running import Service, running
from schemathesis import GenerationMode

from moderation.service.app import create_app
from moderation.service.settings import Settings

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "10"))
"""Requests of chance to each operation, allowed and not; the environment may ask for more."""
PROFILE = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
NATIVE = ("/v1/decisions", "/v1/audit", "/v1/policy", "/healthz", "/readyz", "/metrics", "/session")


@pytest.fixture(scope="module")
def service(toy_file: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options: dict[str, Any] = {"policy": toy_file, "model": toy_model, "keep_text": True}
    with running(Settings(state=tmp_path_factory.mktemp("state"), **options)) as found:
        yield found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_answers_are_as_the_document_says(service: Service, mode: GenerationMode) -> None:
    # Not by schemathesis' own plug-in, which this version of pytest does not take.
    document = schemathesis.openapi.from_url(service.url + "/openapi.json")
    seen = set()
    for found in document.get_all_operations():
        operation = found.ok()
        if not operation.path.startswith(NATIVE):
            continue
        seen.add(operation.path)

        @PROFILE
        @given(case=operation.as_strategy(generation_mode=mode))
        def run(case: Any) -> None:
            case.call_and_validate(timeout=120)

        try:
            run()
        except Unsatisfiable:  # An operation that takes nothing cannot be asked wrongly.
            assert mode is GenerationMode.NEGATIVE
    assert len(seen) == 10


def test_the_examples_are_answered(service: Service) -> None:
    document = httpx.get(service.url + "/openapi.json").json()
    body = document["paths"]["/v1/decisions"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"CommentIn", "CommentsIn"}
    for example in body["examples"].values():
        assert httpx.post(service.url + "/v1/decisions", json=example["value"]).status_code == 200


def test_every_page_of_the_native_api_is_described(toy_file: Path, toy_model: Path, tmp_path: Path) -> None:
    app = create_app(Settings(policy=toy_file, model=toy_model, state=tmp_path))
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
    for path in ("/v1/decisions", "/v1/audit", "/v1/audit/summary", "/v1/policy", "/healthz", "/readyz", "/metrics"):
        for operation in document["paths"][path].values():
            assert operation["description"]
            assert operation["responses"]

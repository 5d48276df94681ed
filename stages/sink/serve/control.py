"""What changes the run: pause, resume, stop, and the settings that can be changed while it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request
from pydantic import BaseModel

from pipeline.observe import Observed
from stages.sink.clients import address_of


class Said(BaseModel):
    """Why a request is not answered."""

    detail: str


class Done(BaseModel):
    """A request has been taken."""

    done: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Said, "description": "A token is needed."},
    403: {"model": Said, "description": "Not for this host, site, or without a token at all."},
    429: {"model": Said, "description": "Asked too often."},
}
_OF_CONTROL: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    408: {"model": Said, "description": "The request took too long."},
    413: {"model": Said, "description": "The request is too long."},
    422: {"model": Said, "description": "There is no such setting, or the value is out of its bounds."},
}


def make_router(run: Observed, *, controllable: bool) -> APIRouter:
    """Return the routes.

    Args:
        run: what is changed.
        controllable: False: every request is refused, and told how it would not be.
    """

    def may_control() -> None:
        if not controllable:
            raise HTTPException(403, "control is off; start with a token (--token-file FILE) to turn it on")

    router = APIRouter(tags=["control"], dependencies=[Depends(may_control)], responses=_OF_CONTROL)

    @router.post("/control/pause", summary="Answer without looking until resumed")
    async def pause(request: Request) -> Done:
        change_all(run, {"paused": True}, by=address_of(request.scope) or None)
        return Done(done="paused")

    @router.post("/control/resume", summary="Go on after a pause")
    async def resume(request: Request) -> Done:
        change_all(run, {"paused": False}, by=address_of(request.scope) or None)
        return Done(done="resumed")

    @router.post("/control/stop", status_code=202, summary="End the run")
    async def stop(request: Request) -> Done:
        run.stop(by=address_of(request.scope) or None)
        return Done(done="stopping")

    @router.patch("/settings", summary="Change settings, all or none")
    async def patch(
        request: Request, changes: Mapping[str, Any] = Body(examples=[{"deadline_ms": 80}])
    ) -> dict[str, Any]:
        change_all(run, changes, by=address_of(request.scope) or None)
        return dict(run.settings())

    return router


def change_all(run: Observed, changes: Mapping[str, object], *, by: str | None) -> None:
    """Change settings, all of them or none; `by`: the address of who wants that.

    Raises:
        HTTPException: 422; says which cannot be changed, and what would be right.
    """
    if not changes:
        raise HTTPException(422, "nothing is to be changed; send {NAME: VALUE}")
    try:
        run.change_all(changes, by=by)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error

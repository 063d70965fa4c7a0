"""Health: the answer of what tells how a process is."""

from pydantic import BaseModel, Field


class Health(BaseModel):
    """A sign of life."""

    status: str = Field(examples=["ok"])

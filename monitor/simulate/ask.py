"""What a client asks for: the request bodies of the two completion endpoints, as far as they matter here."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from monitor.simulate import words


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class StreamOptions(_Strict):
    """Which usage figures a stream carries."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Ask(_Strict):
    """The fields both endpoints share; unknown ones are ignored, as vLLM does."""

    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 16
    min_tokens: Annotated[int, Field(ge=0)] = 0
    ignore_eos: bool = False
    temperature: Annotated[float, Field(ge=0)] = 1.0
    cache_salt: str | None = None
    return_token_ids: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def length(self) -> int:
        """How many tokens the answer has: the simulated model never stops early."""
        return self.max_tokens


class Part(_Strict):
    """One part of a message; those without text count nothing."""

    text: str = ""


class Message(_Strict):
    """One message of a chat."""

    role: str
    content: str | list[Part] | None = None

    def tokens(self) -> tuple[int, ...]:
        """Gives the message's tokens with the template's frame around them."""
        parts = [Part(text=self.content)] if isinstance(self.content, str) else self.content or []
        body = (token for part in parts for token in words.tokens(part.text))
        return (*words.tokens(f"< {self.role} >"), *body, *words.tokens("< end >"))


class ChatAsk(Ask):
    """A body of /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None

    @property
    def length(self) -> int:
        """How many tokens the answer has, by the newer name of the field if it is used."""
        return self.max_completion_tokens or self.max_tokens

    def tokens(self) -> tuple[int, ...]:
        """Gives the prompt as the chat template makes it."""
        return (*(token for message in self.messages for token in message.tokens()), *words.tokens("< assistant >"))


class TextAsk(Ask):
    """A body of /v1/completions; the prompt is text or token ids."""

    prompt: str | Annotated[list[int], Field(min_length=1)]

    def tokens(self) -> tuple[int, ...]:
        """Gives the prompt, of one token at least."""
        start = words.tokens("<")
        return (*start, *words.tokens(self.prompt)) if isinstance(self.prompt, str) else tuple(self.prompt)


AnyAsk = ChatAsk | TextAsk

"""The JSON shapes of answers, streamed and whole, as vLLM 0.32 sends them."""

import json
from dataclasses import dataclass

from monitor.simulate import words


@dataclass(frozen=True, slots=True)
class Shape:
    """Shapes the parts of one answer; `ids` and the two kinds of usage are there only if asked for."""

    ident: str
    created: int
    model: str
    fingerprint: str
    prompt: tuple[int, ...]
    length: int
    chat: bool
    reasoning: bool
    ids: bool
    usage: bool
    final_usage: bool
    running_usage: bool

    def role(self) -> dict[str, object]:
        """The chunk that opens a chat stream and carries no token."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        prompt = {"prompt_token_ids": self._ids(self.prompt), "prompt_text": None}
        return {**self._head("chunk"), "choices": [choice], **self._running(0), **prompt}

    def part(self, tokens: tuple[int, ...], sent: int) -> dict[str, object]:
        """The chunk that carries `tokens`, the last of `sent` so far."""
        last = sent == self.length
        choice = (self._chat_choice if self.chat else self._text_choice)(tokens, "length" if last else None)
        fingerprint = {"system_fingerprint": self.fingerprint} if last and not self.final_usage else {}
        return {**self._head("chunk"), "choices": [choice], **self._running(sent), **fingerprint}

    def closing(self) -> dict[str, object]:
        """The chunk after the last token that carries the usage and no choice."""
        usage = self._usage(self.length)
        return {**self._head("chunk"), "choices": [], "usage": usage, "system_fingerprint": self.fingerprint}

    def whole(self, tokens: tuple[int, ...]) -> dict[str, object]:
        """The body of an answer that is not streamed."""
        choice = {
            "index": 0,
            **(self._message(tokens) if self.chat else {"text": words.text(tokens)}),
            "logprobs": None,
            "finish_reason": "length",
            "stop_reason": None,
            "token_ids": self._ids(tokens),
        }
        usage = {"usage": {**self._usage(len(tokens)), "prompt_tokens_details": None}} if self.usage else {}
        return {**self._head(""), "choices": [choice], "system_fingerprint": self.fingerprint, **usage}

    def _head(self, kind: str) -> dict[str, object]:
        # Chat says whether an object is a chunk; the older endpoint has one name for both.
        name = ".".join(filter(None, ("chat.completion", kind))) if self.chat else "text_completion"
        return {"id": self.ident, "object": name, "created": self.created, "model": self.model}

    def _chat_choice(self, tokens: tuple[int, ...], finish: str | None) -> dict[str, object]:
        delta = {"reasoning" if self.reasoning else "content": words.text(tokens)}
        stop = {"stop_reason": None} if finish else {}
        ids = {"token_ids": self._ids(tokens)}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **stop, **ids}

    def _text_choice(self, tokens: tuple[int, ...], finish: str | None) -> dict[str, object]:
        text = {"index": 0, "text": words.text(tokens), "logprobs": None}
        end = {"finish_reason": finish, "stop_reason": None}
        return {**text, **end, "prompt_token_ids": None, "token_ids": self._ids(tokens)}

    def _message(self, tokens: tuple[int, ...]) -> dict[str, object]:
        text = words.text(tokens)
        content, reasoning = (None, text) if self.reasoning else (text, None)
        return {"message": {"role": "assistant", "content": content, "reasoning": reasoning, "tool_calls": []}}

    def _ids(self, tokens: tuple[int, ...]) -> list[int] | None:
        return list(tokens) if self.ids else None

    def _usage(self, sent: int) -> dict[str, object]:
        prompt = len(self.prompt)
        return {"prompt_tokens": prompt, "total_tokens": prompt + sent, "completion_tokens": sent}

    def _running(self, sent: int) -> dict[str, object]:
        usage = {**self._usage(sent), "completion_tokens_details": None}
        return {"usage": usage} if self.running_usage else {}


def event(data: dict[str, object] | str) -> bytes:
    """Writes one server-sent event; a string goes out as it is."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()

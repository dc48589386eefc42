"""Every error that modem raises on purpose.

    ModemError
    ├── ConfigError                     a file or setting is wrong; nothing starts
    └── ServingError                    a request cannot be answered; has an HTTP status
        ├── RequestError           400  the client must change the request
        │   ├── UnknownModelError  404
        │   ├── NotFoundError      404
        │   ├── MethodError        405
        │   └── BodyTooLargeError  413
        ├── OverloadedError        429  too many requests wait; come back later
        ├── ExpertFailedError      502  the expert broke while it answered
        ├── ExpertUnavailableError 503  the expert failed or is not up within its deadline
        ├── ExpertTimeoutError     504  the expert took too long
        └── InternalError          500  our fault; details are logged, never sent

`modem.openai.errors.to_response` maps the tree to HTTP in one place. All arguments are
positional, because exceptions that cross a Ray process boundary are rebuilt from ``args``.
"""


class ModemError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(ModemError):
    """A configuration file or setting is wrong. The message says where, what and how to mend it."""


class ServingError(ModemError):
    """A request cannot be answered.

    Args:
        message: For the client: what is wrong and how to mend it. Never a path or a traceback.
        param: The request field at fault, if there is one.
        code: OpenAI's machine-readable code, if it differs from the class's own.
        retry_after_s: Seconds after which the same request may succeed.
    """

    status = 500
    type = "server_error"
    default_code: str | None = None

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param, code, retry_after_s)
        self.message = message
        self.param = param
        self.code = code or self.default_code
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class RequestError(ServingError):
    """The client must change the request."""

    status = 400
    type = "invalid_request_error"


class UnknownModelError(RequestError):
    """The request names a model that is not served."""

    status = 404
    default_code = "model_not_found"


class NotFoundError(RequestError):
    """There is no such route."""

    status = 404
    default_code = "not_found"


class MethodError(RequestError):
    """The route exists, but not for this HTTP method."""

    status = 405
    default_code = "method_not_allowed"


class BodyTooLargeError(RequestError):
    """The body is over the configured limit."""

    status = 413
    default_code = "request_too_large"


class OverloadedError(ServingError):
    """Too many requests already wait for this expert."""

    status = 429
    type = "rate_limit_error"
    default_code = "too_many_waiting_requests"


class ExpertFailedError(ServingError):
    """The expert accepted the request and broke while it answered."""

    status = 502
    default_code = "expert_failed"


class ExpertUnavailableError(ServingError):
    """The expert's application failed, or no replica came up within the deadline."""

    status = 503
    type = "service_unavailable_error"
    default_code = "expert_unavailable"


class ExpertTimeoutError(ServingError):
    """The expert did not answer, or fell silent, for longer than allowed."""

    status = 504
    type = "timeout_error"
    default_code = "expert_timeout"


class InternalError(ServingError):
    """Something broke that should not; the log has the details."""

    default_code = "internal_error"

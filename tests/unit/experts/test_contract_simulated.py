from collections.abc import Iterator

import pytest

from deployments.simulated import create_app
from modem.config import SimulatedExpertConfig
from modem.experts.simulated import SimulatedEngine
from tests.contract import ExpertContract, ExpertUnderTest
from tests.servers import serving_in_thread

CONTEXT_TOKENS = 600


class TestSimulatedExpert(ExpertContract):
    @pytest.fixture(scope="class")
    def expert(self) -> Iterator[ExpertUnderTest]:
        config = SimulatedExpertConfig(
            model_id="math", ttft_s=0.005, tpot_s=0.005, output_tokens=400, max_model_len=CONTEXT_TOKENS
        )
        # Made in this thread, used in the server's: asyncio's primitives find their loop at first use.
        with serving_in_thread(create_app(SimulatedEngine(config))) as url:
            yield ExpertUnderTest(url, "math", CONTEXT_TOKENS, stops_unary=False)

from modem.autoscaling.demand import Demand, Profile, demand_of
from modem.autoscaling.stats import ReplicaStats
from tests.unit.autoscaling.world import load

BUSY = ReplicaStats(
    running_requests=4,
    waiting_requests=2,
    prefill_tokens=600,
    context_tokens=2000,
    kv_capacity_tokens=10_000,
    max_running_requests=32,
    prefill_tokens_per_s=1000,
    startup_s=60,
)


class TestProfile:
    def test_is_learned_from_what_replicas_publish(self) -> None:
        assert Profile().learn(load(stats=(BUSY,))) == Profile(
            kv_capacity_tokens=10_000,
            max_running_requests=32,
            prefill_tokens_per_s=1000,
            tokens_per_request=500,
            startup_s=60,
        )

    def test_what_nobody_publishes_any_more_is_remembered(self) -> None:
        learned = Profile().learn(load(stats=(BUSY,)))
        assert learned.learn(load(stats=())) == learned
        assert learned.learn(load(stats=(ReplicaStats(),))) == learned

    def test_a_replica_that_knows_nothing_yet_does_not_lower_the_mean(self) -> None:
        learned = Profile().learn(load(stats=(BUSY, ReplicaStats())))
        assert learned.prefill_tokens_per_s == 1000
        assert learned.kv_capacity_tokens == 10_000

    def test_the_slowest_start_counts(self) -> None:
        stats = (ReplicaStats(startup_s=30), ReplicaStats(startup_s=90))
        assert Profile().learn(load(stats=stats)).startup_s == 90

    def test_less_than_a_request_says_nothing_about_requests(self) -> None:
        before = Profile(tokens_per_request=500)
        fraction = ReplicaStats(running_requests=0.01, context_tokens=90)
        assert before.learn(load(stats=(fraction,))).tokens_per_request == 500


class TestDemand:
    def test_adds_up_what_replicas_tell(self) -> None:
        profile = Profile().learn(load(stats=(BUSY, BUSY)))
        assert demand_of(load(ongoing_requests=12, stats=(BUSY, BUSY)), profile) == Demand(12, 5200, 1200)

    def test_requests_that_nobody_told_of_count_as_unread(self) -> None:
        profile = Profile(tokens_per_request=500)
        found = demand_of(load(ongoing_requests=16, stats=(BUSY, BUSY)), profile)
        assert found == Demand(16, 5200 + 2000, 1200 + 2000)

    def test_fewer_requests_than_were_told_of_are_no_debt(self) -> None:
        # Both are averages, over windows that are not quite the same.
        found = demand_of(load(ongoing_requests=5, stats=(BUSY,)), Profile(tokens_per_request=500))
        assert found == Demand(5, 2600, 600)

    def test_without_any_word_only_requests_are_known(self) -> None:
        assert demand_of(load(ongoing_requests=5), Profile()) == Demand(5, 0, 0)

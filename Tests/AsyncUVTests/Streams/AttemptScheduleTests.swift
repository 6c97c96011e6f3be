import Testing
@testable import AsyncUV

@Suite struct AttemptScheduleTests {
    private func addresses(_ text: String) throws -> [SocketAddress] {
        try text.split(separator: " ").map { try SocketAddress(host: String($0), port: 80) }
    }

    @Test(arguments: [
        ("", ""), ("1.1.1.1", "1.1.1.1"), ("1.1.1.1 1.1.1.2 1.1.1.3", "1.1.1.1 1.1.1.2 1.1.1.3"), ("::1 ::2 1.1.1.1 1.1.1.2", "::1 1.1.1.1 ::2 1.1.1.2"),
        ("1.1.1.1 1.1.1.2 1.1.1.3 ::1", "1.1.1.1 ::1 1.1.1.2 1.1.1.3"), ("1.1.1.1 ::1 ::2 ::3", "1.1.1.1 ::1 ::2 ::3"), ("::1 1.1.1.1 1.1.1.2", "::1 1.1.1.1 1.1.1.2"),
        ("::ffff:1.1.1.1 1.1.1.2 ::1", "::ffff:1.1.1.1 ::1 1.1.1.2"),
    ])
    func familiesTakeTurnsAndTheFirstStaysFirst(given: String, expected: String) throws {
        #expect(AttemptSchedule.interleaved(try addresses(given)) == (try addresses(expected)))
    }

    @Test func aDelayLiesBetweenTwoAttemptsUnlessOneFails() throws {
        let hosts = try addresses("1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4")
        func at(_ milliseconds: Int64) -> LoopInstant { LoopInstant(nanoseconds: milliseconds * 1_000_000) }
        var schedule = AttemptSchedule(hosts, delay: .milliseconds(250), now: at(1000))
        #expect(schedule.wakeTime == at(1000))
        #expect(schedule.takeNext(now: at(1000)) == hosts[0])
        #expect(schedule.takeNext(now: at(1249)) == nil)
        #expect(schedule.wakeTime == at(1250))
        #expect(schedule.takeNext(now: at(1260)) == hosts[1])
        // From when it began, not from when it was due: attempts do not come in bursts.
        #expect(schedule.wakeTime == at(1510))
        schedule.attemptFailed(now: at(1300))
        #expect(schedule.takeNext(now: at(1300)) == hosts[2])
        #expect(schedule.takeNext(now: at(1300)) == nil)
        schedule.attemptFailed(now: at(1600))
        #expect(schedule.wakeTime == at(1550))
        #expect(schedule.takeNext(now: at(1600)) == hosts[3])
        #expect(schedule.wakeTime == nil)
        schedule.attemptFailed(now: at(1700))
        #expect(schedule.takeNext(now: at(5000)) == nil && schedule.wakeTime == nil)
    }

    @Test(arguments: [Duration.zero, .seconds(-1)])
    func withoutADelayAllBeginAtOnce(delay: Duration) throws {
        var schedule = AttemptSchedule(try addresses("1.1.1.1 1.1.1.2 ::1"), delay: delay, now: LoopInstant(nanoseconds: 5))
        var begun: [String] = []
        while let address = schedule.takeNext(now: LoopInstant(nanoseconds: 5)) { begun.append(address.host) }
        #expect(begun == ["1.1.1.1", "::1", "1.1.1.2"])
    }
}

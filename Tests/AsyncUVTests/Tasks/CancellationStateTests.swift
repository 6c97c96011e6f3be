import Testing
@testable import AsyncUV

private func request(_ message: String = "") -> CancelOrigin {
    CancelOrigin(.call, message: message, file: "f", line: 1, requester: nil, turn: 0)
}

private func running() -> CancellationState {
    var state = CancellationState()
    state.begin()
    return state
}

private func parked() -> CancellationState {
    var state = running()
    state.park()
    return state
}

/// The pure state of a task: every phase, and a request in it.
@Suite struct CancellationStateTests {
    @Test func entry25_aRequestIsRefusedOnlyWhenTheTaskIsDone() {
        func ready() -> CancellationState {
            var state = parked()
            #expect(state.wake() == true)
            return state
        }
        func foreign() -> CancellationState {
            var state = running()
            state.enterForeign()
            return state
        }
        let expected: [(() -> CancellationState, CancellationState.Action)] = [
            ({ CancellationState() }, .remember), (running, .remember), (parked, .undo), (ready, .remember), (foreign, .cancelNative),
        ]
        for (make, action) in expected {
            var state = make()
            let phase = state.phase
            #expect(state.request(request()) == action)
            #expect(state.phase == phase)
            #expect(state.cancelling == 1)
            #expect((state.pending == nil) == (action == .undo))
        }
        var done = running()
        #expect(done.finish() == nil)
        #expect(done.request(request()) == .refuse)
        #expect(done.cancelling == 0 && done.pending == nil)
    }

    @Test func aRequestBeforeTheStartIsTakenByTheStart() {
        var state = CancellationState()
        let first = request("first")
        _ = state.request(first)
        _ = state.request(request("second"))
        // The latest is delivered, as in asyncio, where each overwrites the message; both count.
        #expect(state.takePending()?.message == "second")
        #expect(state.takePending() == nil)
        #expect(state.cancelling == 2)
    }

    @Test func anInterruptionIsDeliveredOnceAndSwallowsWhatComesAfterIt() {
        var state = parked()
        let first = request("first")
        #expect(state.request(first) == .undo)
        state.interrupted(by: first)
        #expect(state.phase == .ready)
        #expect(state.request(request("second")) == .remember)
        state.resume()
        #expect(state.takeDelivery() === first)
        #expect(state.takeDelivery() == nil)
        #expect(state.cancelling == 2)
        #expect(state.finish() == nil)
    }

    @Test func anUndoThatCameTooLateLeavesTheRequestForTheNextWait() {
        var state = parked()
        let origin = request()
        #expect(state.request(origin) == .undo)
        state.notInterrupted(by: origin)
        #expect(state.wake() == true)
        state.resume()
        #expect(state.takeDelivery() === origin)
        #expect(state.takeDelivery() == nil)
    }

    @Test func aRequestBetweenWakeAndResumeIsDeliveredByTheWait() {
        var state = parked()
        #expect(state.wake() == true)
        let origin = request()
        #expect(state.request(origin) == .remember)
        state.resume()
        #expect(state.takeDelivery() === origin)
    }

    @Test func aWaitIsWokenOnce() {
        var state = parked()
        #expect(state.wake() == true)
        #expect(state.wake() == false)
        var interrupted = parked()
        let origin = request()
        _ = interrupted.request(origin)
        interrupted.interrupted(by: origin)
        #expect(interrupted.wake() == false)
        var yielding = running()
        yielding.parkReady()
        #expect(yielding.wake() == false)
        #expect(yielding.request(request()) == .remember)
    }

    @Test func anInterruptionThatNobodyTookDoesNotReachTheNextWait() {
        var state = parked()
        let origin = request()
        _ = state.request(origin)
        state.interrupted(by: origin)
        state.resume()
        state.park()
        #expect(state.takeDelivery() == nil)
    }

    @Test func aRequestThatWasNotDeliveredComesOutAtTheEnd() {
        var state = running()
        let origin = request()
        _ = state.request(origin)
        #expect(state.finish() === origin)
        #expect(state.phase == .done)
    }

    @Test func entry45_uncancelCountsDownToZeroAndThenForgetsWhatWasNotDelivered() {
        var state = running()
        #expect(state.uncancel() == 0)
        _ = state.request(request("1"))
        _ = state.request(request("2"))
        #expect(state.uncancel() == 1)
        #expect(state.pending != nil)
        #expect(state.uncancel() == 0)
        #expect(state.pending == nil)
        #expect(state.uncancel() == 0)
        #expect(state.finish() == nil)
    }

    @Test func entry45_uncancelCannotUndoAnInterruption() {
        var state = parked()
        let origin = request()
        _ = state.request(origin)
        state.interrupted(by: origin)
        #expect(state.uncancel() == 0)
        state.resume()
        #expect(state.takeDelivery() === origin)
    }

    @Test func aRequestIsWithdrawnByIdentity() {
        var state = running()
        let (mine, other) = (request("mine"), request("other"))
        _ = state.request(mine)
        _ = state.request(other)
        #expect(state.withdraw(mine) == 1)
        #expect(state.requests.first === other)
        #expect(state.pending != nil)
        // One that is not there any more, because somebody called uncancel(), counts all the same.
        #expect(state.withdraw(mine) == 0)
        #expect(state.pending == nil)
    }

    @Test func graceHoldsBackWhatIsRequestedInsideAndWhatWasPending() {
        for make in [running, parked] {
            var state = make()
            let phase = state.phase
            let depth = state.enterGrace()
            let origin = request("first")
            #expect(state.request(origin) == .remember)
            #expect(state.request(request("second")) == .remember)
            #expect(state.cancelling == 2)
            #expect(state.pending == nil && state.held === origin)
            let left = state.leaveGrace(depth)
            #expect(left?.0 === origin)
            #expect(left?.1 == (phase == .parked ? .undo : .remember))
            #expect(state.held == nil)
        }
        var state = running()
        let early = request()
        _ = state.request(early)
        let depth = state.enterGrace()
        state.park()
        #expect(state.takePending() == nil)
        #expect(state.wake() == true)
        state.resume()
        #expect(state.leaveGrace(depth)?.0 === early)
        #expect(state.pending === early)
    }

    @Test func graceForgetsWhatIsTakenBackAndWhatTheTaskDidNotLiveToSee() {
        var state = running()
        let depth = state.enterGrace()
        _ = state.request(request())
        #expect(state.uncancel() == 0)
        #expect(state.leaveGrace(depth) == nil)
        _ = state.enterGrace()
        _ = state.request(request())
        #expect(state.finish() == nil)
        #expect(state.held == nil)
    }

    @Test func ofNestedGraceShieldsTheOutermostDeadlineCounts() {
        var state = running()
        let outer = state.enterGrace()
        let inner = state.enterGrace()
        let origin = request()
        _ = state.request(origin)
        // The inner one's time is over: the outer one holds on.
        #expect(state.leaveGrace(inner) == nil)
        #expect(state.held === origin)
        let again = state.enterGrace()
        // The outer one's time is over: so is that of what is inside.
        #expect(state.leaveGrace(outer)?.0 === origin)
        #expect(state.leaveGrace(again) == nil)
        #expect(state.graceDepth == 0)
    }

    @Test func anUndeliveredRequestCanBeGivenBack() {
        var state = running()
        let origin = request()
        state.remember(origin)
        #expect(state.takeDelivery() === origin)
    }
}

import Testing
import UVCore
@testable import AsyncUV

/// A request to cancel that meets what it wants to prevent, in every order.
@Suite struct CancelRaceTests {
    @Test func fault01_readsThatAreCancelledInTheTurnTheirBytesComeLoseNothing() async throws {
        try await withPair { near, far in
            let loop = near.loop
            var random = Seeded(11)
            var sent = 0, cancelled = 0
            let received = Shared<[UInt8]>([])
            let met = Shared(0)
            for _ in 0..<10_000 {
                let kind = Int.random(in: 0..<3, using: &random)
                let reader = LoopTask {
                    switch kind {
                    case 0: received.value += try await near.read(exactly: 3)
                    case 1: received.value += try await near.read(atMost: 4) ?? []
                    default:
                        _ = try await near.withBytes { bytes in
                            received.value.append(bytes[0])
                            return 1
                        }
                    }
                }
                try await until { reader.isWaiting || reader.isDone }
                if !reader.isDone {
                    let count = Int.random(in: 3...9, using: &random)
                    try await far.write(counted(sent..<sent + count))
                    sent += count
                    switch Int.random(in: 0..<6, using: &random) {
                    case 0: reader.cancel()
                    case 1:
                        try await until { near.core.available > 0 }
                        reader.cancel()
                    case 2: break
                    default:
                        // After the poll that has brought the bytes, before the task that they have woken.
                        loop.inEveryTurn {
                            if reader.isWaiting { return true }
                            if !reader.isDone && reader.cancel() { met.value += 1 }
                            return false
                        }
                    }
                }
                do {
                    try await reader.value
                } catch is CancelledError {
                    cancelled += 1
                }
            }
            try far.closeWrite()
            received.value += try await near.readAll()
            #expect(met.value > 1000 && cancelled > 2000)
            let isSame = received.value == counted(0..<sent)
            #expect(isSame)
        }
    }

    @Test(arguments: 1...3) func fault02_everyConnectionIsEitherAcceptedOrBrokenOff(seed: UInt64) async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            var random = Seeded(seed)
            let connected = Shared(0), accepted = Shared(0)
            @Sendable func client() -> LoopTask<Bool> {
                LoopTask {
                    let stream = try await TCPStream.connect(to: listener.address)
                    defer { stream.abort() }
                    connected.value += 1
                    do {
                        return try await stream.read() == [1]
                    } catch let error as LoopError where error.code == .connectionLost {
                        return false
                    }
                }
            }
            var acceptors: [LoopTask<Void>] = [], clients: [LoopTask<Bool>] = []
            func fillUpAcceptors() {
                acceptors.removeAll { $0.isDone }
                while acceptors.count < 4 {
                    acceptors.append(
                        LoopTask {
                            let stream = try await listener.accept()
                            accepted.value += 1
                            try await stream.write([1])
                            try await stream.close()
                        })
                }
            }
            for _ in 0..<60 {
                fillUpAcceptors()
                let victims = (0..<2).map { _ in acceptors[Int.random(in: 0..<4, using: &random)] }
                // One as a connection wakes it, if it is its turn; one at any moment.
                loop.inEveryTurn {
                    if victims[0].isWaiting { return true }
                    if !victims[0].isDone { victims[0].cancel() }
                    return false
                }
                for _ in 0..<Int.random(in: 1...8, using: &random) { clients.append(client()) }
                try await turns(Int.random(in: 0...100, using: &random))
                victims[1].cancel()
            }
            try await until {
                fillUpAcceptors()
                return accepted.value == clients.count
            }
            // Now nobody accepts any more.
            for task in acceptors { task.cancel() }
            for task in acceptors { _ = try? await task.value }
            clients += (0..<10).map { _ in client() }
            try await until { connected.value == clients.count }
            listener.close()
            var served = 0, brokenOff = 0
            for task in clients {
                if try await task.value { served += 1 } else { brokenOff += 1 }
            }
            #expect(served == accepted.value && brokenOff == 10)
            #expect(connected.value == served + brokenOff)
        }
    }

    enum Stage: CaseIterable { case beforeTheFirstStep, beforeTheSocket, underWay, asItConnects, asItIsRefused, connected }

    /// Descriptors are counted in a process of its own: see `fault03_tenThousandConnectsThatAreCancelledAtAnyMomentLeaveNoDescriptor`.
    @Test(arguments: Stage.allCases) func fault03_aConnectThatIsCancelledAtAnyStageLeavesNothing(stage: Stage) async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0, backlog: stage == .underWay ? 0 : 4096)
            let address = listener.address
            var fillers: [LoopTask<TCPStream>] = []
            if stage == .underWay { fillers = try await fillBacklog(of: listener) }
            if stage == .asItIsRefused { listener.close() }
            try await turns(100)
            let before = loop.watchedDescriptors, outstanding = loop.outstanding
            #expect(before >= 0)
            var met = 0
            for _ in 0..<200 {
                let task = LoopTask {
                    if stage == .beforeTheSocket { LoopTask.current?.cancel() }
                    let stream = try await TCPStream.connect(to: address)
                    defer { stream.abort() }
                    LoopTask.current?.cancel()
                    try await LoopTask.sleep(for: .seconds(60))
                }
                switch stage {
                case .beforeTheFirstStep: task.cancel()
                case .beforeTheSocket, .connected: break
                case .underWay:
                    try await until { task.isWaiting }
                    task.cancel()
                case .asItConnects, .asItIsRefused:
                    try await until { task.isWaiting }
                    loop.inEveryTurn {
                        if task.isWaiting { return true }
                        if !task.isDone { task.cancel() }
                        return false
                    }
                }
                do { try await task.value } catch is CancelledError { met += 1 }
                if stage == .asItConnects || stage == .connected || stage == .beforeTheSocket {
                    // Whether it comes out of the backlog depends on how far the client had come.
                    if let stream = try? await withTimeout(.zero, { try await listener.accept() }) { stream.abort() }
                }
            }
            #expect(met == 200)
            #expect(loop.outstanding == outstanding)
            #expect(loop.watchedDescriptors == before)
            for filler in fillers {
                filler.cancel()
                if let stream = try? await filler.value { stream.abort() }
            }
            listener.close()
            try await turns(200)
            #expect(loop.uv?.openHandles()["poll"] == nil)
            #expect(loop.uv?.openHandles()["tcp"] == nil)
        }
    }

    @Test func fault03_tenThousandConnectsThatAreCancelledAtAnyMomentLeaveNoDescriptor() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("FaultProbe", "connects", "10000").end() }
        #expect(lines.last == "0 descriptors and 0 watchers left", "\(lines)")
        #expect(lines.first?.hasPrefix("10000 connects: ") == true, "\(lines)")
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }

    enum Order: CaseIterable { case resultFirst, timeoutFirst, timeoutAfterTheWakeUp }
    enum Inner: CaseIterable { case returnsAResource, fails, swallowsTheCancel }

    /// What must be given back, and how many of it there are.
    final class Resource: Sendable {
        let live: Shared<Int>
        init(_ live: Shared<Int>) {
            self.live = live
            live.value += 1
        }
        deinit { live.value -= 1 }
    }

    @Test(arguments: Order.allCases, Inner.allCases)
    func fault05_ofATimeoutAndAResultInTheSameTickExactlyOneIsSeen(order: Order, inner: Inner) async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            // The error of a task that is not awaited any more.
            loop.setReportHandler { #expect($0.error is Boom) }
            let live = Shared(0)
            let permits = try Semaphore(value: 0)
            var outcomes: [String] = []
            for round in 0..<3 {
                let future = try Future<Void>()
                let hasPermit = Shared(false)
                @Sendable func operation() async throws -> Resource {
                    do {
                        if round == 0 {
                            try await permits.acquire()
                            hasPermit.value = true
                        } else {
                            try await future.value
                        }
                    } catch is CancelledError where inner == .swallowsTheCancel {}
                    if inner == .fails { throw Boom() }
                    return Resource(live)
                }
                func complete() throws {
                    if round == 0 { try permits.release() } else if !future.isDone { try future.setResult(()) }
                }
                let start = loop.now
                let at = start.advanced(by: .seconds(1))
                if order == .resultFirst { try loop.callAt(at) { try complete() } }
                do {
                    try await withTimeout(order == .timeoutAfterTheWakeUp ? nil : .seconds(1)) { timeout in
                        switch order {
                        case .resultFirst: break
                        case .timeoutFirst: try loop.callAt(at) { try complete() }
                        case .timeoutAfterTheWakeUp:
                            try loop.callAt(at) {
                                try complete()
                                // Due in the next turn, behind the wake-up.
                                try timeout.reschedule(to: loop.now)
                            }
                        }
                        if round == 2 {
                            let task = LoopTask { try await operation() }
                            _ = try await task.value
                        } else {
                            _ = try await operation()
                        }
                    }
                    outcomes.append("value")
                } catch is TimeoutError {
                    outcomes.append("timeout")
                } catch is Boom {
                    outcomes.append("error")
                }
                // A permit that was not taken is still there.
                if round == 0 {
                    #expect(permits.isLocked == hasPermit.value)
                    #expect(hasPermit.value == (order == .timeoutAfterTheWakeUp))
                }
                #expect(loop.now == at)
                #expect(LoopTask.current?.cancelling() == 0)
                // Nothing is left that interrupts, or is late.
                try await LoopTask.sleep(for: .seconds(5))
                #expect(loop.now == at.advanced(by: .seconds(5)))
                #expect(live.value == 0)
            }
            // Through a task in between a result takes a turn more, and then the timeout is there first.
            let late = order == .timeoutAfterTheWakeUp
            switch inner {
            case .returnsAResource: #expect(outcomes == (late ? ["value", "value", "timeout"] : ["timeout", "timeout", "timeout"]))
            case .fails: #expect(outcomes == (late ? ["error", "error", "timeout"] : ["timeout", "timeout", "timeout"]))
            case .swallowsTheCancel: #expect(outcomes == ["value", "value", late ? "timeout" : "value"])
            }
        }
    }

    @Test(arguments: Order.allCases, Inner.allCases)
    func fault05_waitForKeepsTheResultOfTheSameTick(order: Order, inner: Inner) async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            loop.setReportHandler { #expect($0.error is Boom) }
            let live = Shared(0)
            let future = try Future<Void>()
            let at = loop.now.advanced(by: .seconds(1))
            func complete() throws {
                if !future.isDone { try future.setResult(()) }
            }
            if order == .resultFirst { try loop.callAt(at) { try complete() } }
            var outcome = ""
            do {
                let task = LoopTask {
                    do { try await future.value } catch is CancelledError where inner == .swallowsTheCancel {}
                    if inner == .fails { throw Boom() }
                    return Resource(live)
                }
                if order == .timeoutFirst { try loop.callSoon { try loop.callAt(at) { try complete() } } }
                if order == .timeoutAfterTheWakeUp { try loop.callAt(at) { try complete() } }
                do {
                    _ = try await LoopTask.waitFor(task, timeout: order == .timeoutAfterTheWakeUp ? .seconds(1) + .nanoseconds(1) : .seconds(1))
                    outcome = "value"
                } catch is TimeoutError {
                    outcome = "timeout"
                } catch is Boom {
                    outcome = "error"
                }
                #expect(task.isDone)
            }
            switch inner {
            case .returnsAResource: #expect(outcome == (order == .timeoutAfterTheWakeUp ? "value" : "timeout"))
            case .fails: #expect(outcome == (order == .timeoutAfterTheWakeUp ? "error" : "timeout"))
            case .swallowsTheCancel: #expect(outcome == "value")
            }
            try await LoopTask.sleep(for: .seconds(5))
            #expect(live.value == 0)
        }
    }

    /// Frames with a number and a length, of several writers, through small buffers to a reader that takes its time.
    @Test(arguments: 1...3) func fault12_writesThatAreCancelledAreSentWholeOrNotAtAll(seed: UInt64) async throws {
        try await withPair { near, far in
            var random = Seeded(seed)
            try near.setSendBufferSize(4096)
            try far.setReceiveBufferSize(4096)
            try near.setHighWaterMark(20_000)
            let reader = LoopTask {
                var slowness = Seeded(seed &+ 100)
                var numbers: [Int] = []
                while let head = try await far.read(until: [0xff], limit: 10) {
                    let fields = String(decoding: head.dropLast(), as: UTF8.self).split(separator: " ").compactMap { Int($0) }
                    try #require(fields.count == 2, "not the start of a frame: \(head)")
                    let isWhole = try await far.read(exactly: fields[1]) == [UInt8](repeating: UInt8(fields[0] % 251), count: fields[1])
                    try #require(isWhole, "frame \(fields[0])")
                    numbers.append(fields[0])
                    try await turns(Int.random(in: 0...60, using: &slowness))
                }
                return numbers
            }
            let written = Shared<[Int]>([])
            var cancelled = 0
            var writers: [LoopTask<Void>] = []
            for number in 0..<300 {
                let size = Int.random(in: 0...(number % 3 == 0 ? 19_000 : 300), using: &random)
                writers.append(
                    LoopTask {
                        try await near.write(Array("\(number) \(size)".utf8) + [0xff] + [UInt8](repeating: UInt8(number % 251), count: size))
                        written.value.append(number)
                    })
                try await turns(Int.random(in: 0...3, using: &random))
                if Int.random(in: 0..<3, using: &random) > 0 { writers[Int.random(in: 0..<writers.count, using: &random)].cancel() }
                while writers.count > 6 {
                    do { try await writers.removeFirst().value } catch is CancelledError { cancelled += 1 }
                }
            }
            for writer in writers {
                do { try await writer.value } catch is CancelledError { cancelled += 1 }
            }
            try near.closeWrite()
            let numbers = try await reader.value
            #expect(numbers == written.value)
            #expect(cancelled > 30 && numbers.count + cancelled == 300)
        }
    }

    /// What cannot be admitted whole may have been sent in part: then it is a beginning, and nothing comes twice.
    @Test func fault12_aLargeWriteThatIsCancelledHasSentABeginningOfItsBytes() async throws {
        try await withPair { near, far in
            var random = Seeded(3)
            let part = counted(0..<65_537)
            for (near, far) in [(near, far), (far, near)] {
                var bytes: [UInt8] = []
                while bytes.count < 20_000_000 { bytes += part }
                let writer = LoopTask { [bytes] in try await near.write(bytes) }
                var received: [UInt8] = []
                let enough = Int.random(in: 100_000...1_000_000, using: &random)
                while received.count < enough { received += try #require(try await far.read()) }
                writer.cancel()
                await #expect(throws: CancelledError.self) { try await writer.value }
                try near.closeWrite()
                received += try await far.readAll()
                #expect(received.count < bytes.count)
                let isBeginning = received == Array(bytes[..<received.count])
                #expect(isBeginning)
            }
        }
    }
}

/// Connects to a listener that nobody accepts from, until an attempt hangs; gives back all attempts.
func fillBacklog(of listener: TCPListener) async throws -> [LoopTask<TCPStream>] {
    var attempts: [LoopTask<TCPStream>] = []
    var still = 0
    // On loopback an attempt that the kernel takes is there in the next poll. One that hangs has seen many of them.
    while still < 20 {
        if attempts.last?.isDone ?? true {
            attempts.append(LoopTask { try await TCPStream.connect(to: listener.address) })
            still = 0
        }
        try await LoopTask.sleep(for: .milliseconds(1))
        still += 1
    }
    return attempts
}

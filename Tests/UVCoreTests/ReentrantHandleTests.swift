import Testing
import UVCore

/// A small generator with a seed, the same on every machine (SplitMix64).
private struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// One end of a connection, as its owner sees it.
private final class End: StreamOwner {
    unowned let world: World
    var stream: UVStream?
    private var input: UVChunk?
    private var isWriting = false
    private var isShutDown = false

    init(_ world: World) { self.world = world }

    func chunkToFill() -> UVChunk? {
        // Without room now and then; libuv itself forbids to close a stream while it asks for memory to read into.
        if world.chance(8) { return nil }
        let chunk = input ?? world.pool.take()
        input = chunk
        return chunk.room > 0 ? chunk : nil
    }

    func streamDidRead(_ count: Int) {
        if let input { _ = input.take(world.chance(2) ? input.count : count) }
        world.act(stream, self)
        giveBackIfEmpty()
    }

    func streamHasNoRoom() -> Bool {
        world.act(stream, self)
        return world.chance(2)
    }

    func streamReadingEnded(_ error: UVError?) { world.act(stream, self) }

    func streamIsHeldUp() { world.act(stream, self) }

    func streamDidWrite(_ chunk: UVChunk, _ error: UVError?) {
        isWriting = false
        world.pool.give(chunk)
        world.act(stream, self)
    }

    func streamWillClose() {
        stream = nil
        if let chunk = input.take() { world.pool.give(chunk) }
        world.act(nil, self)
    }

    private func giveBackIfEmpty() {
        guard let chunk = input, chunk.isEmpty else { return }
        input = nil
        world.pool.give(chunk)
    }

    func write(_ count: Int) {
        guard let stream, !isWriting, !isShutDown else { return }
        do {
            let bytes = [UInt8](repeating: 1, count: count)
            if world.chance(2) {
                _ = try stream.tryWrite(bytes.span)
            } else {
                let chunk = world.pool.take()
                chunk.append(bytes.span)
                do {
                    try stream.write(chunk)
                    isWriting = true
                } catch {
                    world.pool.give(chunk)
                }
            }
        } catch {}
    }

    func shutDown() {
        guard let stream, !isWriting, !isShutDown else { return }
        isShutDown = (try? stream.shutdownWriting()) != nil
    }

    /// Reading goes on.
    func read() { try? stream?.startReading() }
}

/// Handles of all kinds, in whose callbacks anything may be done to any of them.
private final class World {
    let loop: UVLoop
    let pool = UVChunkPool(limit: 4)
    private var random: Seeded
    private(set) var budget: Int
    private var timers: [UVTimer] = []
    private var wakers: [UVAsync] = []
    private var polls: [UVPoll] = []
    private var ends: [End] = []
    private(set) var closings = 0

    init(seed: UInt64, budget: Int) throws {
        // As a loop does: libuv writes without MSG_NOSIGNAL.
        ThisProcess.ignoreBrokenPipes()
        loop = try UVLoop()
        random = Seeded(seed)
        self.budget = budget
    }

    func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }

    func act(_ own: UVHandle?, _ end: End? = nil) {
        for _ in 0..<Int.random(in: 0...2, using: &random) where budget > 0 { step(own, end) }
    }

    func step(_ own: UVHandle? = nil, _ end: End? = nil) {
        budget -= 1
        let someone = ends.randomElement(using: &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0: close(own)
        case 1: close(timers.randomElement(using: &random))
        case 2: close(polls.randomElement(using: &random))
        case 3: close(wakers.randomElement(using: &random))
        case 4: close(someone?.stream)
        case 5: someone?.stream?.reset()
        case 6, 7: someone?.write(Int.random(in: 0...100_000, using: &random))
        case 8: someone?.shutDown()
        case 9: someone?.stream?.stopReading()
        case 10: someone?.read()
        case 11: timers.randomElement(using: &random)?.start(milliseconds: UInt64.random(in: 0...2, using: &random))
        case 12: timers.randomElement(using: &random)?.stop()
        case 13:
            // Whoever sends sees to it that the handle is open.
            if let waker = wakers.randomElement(using: &random), !waker.isClosing { waker.send() }
        case 14: polls.randomElement(using: &random)?.stop()
        case 15: try? polls.randomElement(using: &random)?.start(.readable)
        case 16: letGo()
        case 17: try? makeTimer()
        case 18: try? makePair()
        default: try? makeWaker()
        }
    }

    private func close(_ handle: UVHandle?) {
        guard let handle, !handle.isClosing else { return }
        closings += 1
        handle.close { [unowned self] in act(nil) }
    }

    private func letGo() {
        // What is open is held by libuv, and goes with its close callback.
        switch Int.random(in: 0..<4, using: &random) {
        case 0 where timers.count > 1: close(timers.removeLast())
        case 1 where wakers.count > 1: close(wakers.removeLast())
        case 2 where polls.count > 1: close(polls.removeLast())
        case 3 where ends.count > 1: close(ends.removeLast().stream)
        default: break
        }
    }

    private func makeTimer() throws {
        if timers.count > 10 { return }
        let timer = try UVTimer(loop: loop) { [unowned self] timer in act(timer) }
        timer.start(milliseconds: 0)
        timers.append(timer)
    }

    private func makeWaker() throws {
        if wakers.count > 10 { return }
        let place = wakers.count
        let waker = try UVAsync(loop: loop) { [unowned self] in act(place < wakers.count ? wakers[place] : nil) }
        waker.send()
        wakers.append(waker)
    }

    /// A connection with itself, both ends of it, and a poll that owns the listener.
    private func makePair() throws {
        if ends.count > 20 { return }
        let any = try #require(SocketName(host: "127.0.0.1", port: 0))
        let listener = try Sockets.listen(on: any, backlog: 8)
        let name = try Sockets.localName(listener.number)
        switch try Sockets.connect(to: name) {
        case .connected(let descriptor): try makeEnd(descriptor)
        case .underWay(let descriptor): try makeEnd(descriptor)
        }
        switch Sockets.accept(listener.number) {
        case .connection(let descriptor, peer: _): try makeEnd(descriptor)
        case .failed: break
        }
        let place = polls.count
        let poll = try UVPoll(loop: loop, owning: listener) { [unowned self] _ in act(place < polls.count ? polls[place] : nil) }
        polls.append(poll)
        try poll.start(.readable)
    }

    private func makeEnd(_ descriptor: consuming Descriptor) throws {
        let end = End(self)
        let stream = try UVStream(.tcp, descriptor, loop: loop, pool: pool)
        end.stream = stream
        stream.attach(end)
        ends.append(end)
        end.read()
        end.write(10)
    }

    /// Closes everything, and runs until it is closed. False: something is left.
    func end() -> Bool {
        budget = 0
        loop.closeAllHandles()
        for _ in 0..<10 { loop.run(.noWait) }
        timers = []
        wakers = []
        polls = []
        ends = []
        return loop.close()
    }
}

@Suite struct ReentrantHandleTests {
    /// In the callbacks of libuv themselves: timer, wake-up, poll, memory to read into, read, end of reading, write, closing, closed.
    @Test(arguments: 0..<10) func fault24_anyHandleMayBeUsedAndClosedInsideAnyCallback(batch: UInt64) throws {
        for seed in batch * 40..<batch * 40 + 40 {
            let world = try World(seed: seed, budget: 300)
            for _ in 0..<5 { world.step() }
            var passes = 0
            while world.budget > 0 && passes < 5000 {
                world.step()
                world.loop.run(.noWait)
                passes += 1
            }
            #expect(world.closings > 0, "seed \(seed)")
            #expect(world.end(), "seed \(seed)")
            #expect(world.pool.taken == 0, "seed \(seed)")
        }
    }

    @Test func fault19_aHandleIsLetGoOfAndClosedInsideItsOwnCallback() throws {
        let loop = try UVLoop()
        var calls: [String] = []
        var timer: UVTimer? = try UVTimer(loop: loop) { fired in
            calls.append("timer")
            fired.close { calls.append("timer closed") }
        }
        weak let timerIsThere = timer
        timer?.start(milliseconds: 0)
        timer = nil
        #expect(timerIsThere != nil)
        for _ in 0..<3 { loop.run(.noWait) }
        #expect(timerIsThere == nil)

        var waker: UVAsync?
        waker = try UVAsync(loop: loop) {
            calls.append("waker")
            waker?.close { calls.append("waker closed") }
            waker = nil
        }
        weak let wakerIsThere = waker
        waker?.send()
        for _ in 0..<3 { loop.run(.noWait) }
        #expect(wakerIsThere == nil)

        var poll: UVPoll?
        let listener = try Sockets.listen(on: try #require(SocketName(host: "127.0.0.1", port: 0)), backlog: 8)
        let name = try Sockets.localName(listener.number)
        poll = try UVPoll(loop: loop, owning: listener) { _ in
            calls.append("poll")
            poll?.close { calls.append("poll closed") }
            poll = nil
        }
        weak let pollIsThere = poll
        try poll?.start(.readable)
        _ = try Sockets.connect(to: name)
        for _ in 0..<3 { loop.run(.noWait) }
        #expect(pollIsThere == nil)
        #expect(calls == ["timer", "timer closed", "waker", "waker closed", "poll", "poll closed"])
        #expect(loop.close())
    }
}

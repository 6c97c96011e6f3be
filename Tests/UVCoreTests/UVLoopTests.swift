import Testing
import UVCore

@Suite struct UVLoopTests {
    @Test func closeIsRefusedWhileAHandleIsOpenAndNamesIt() throws {
        let loop = try UVLoop()
        let timer = try UVTimer(loop: loop) { _ in }
        #expect(loop.openHandles() == ["timer": 1])
        #expect(!loop.close())
        var closed = 0
        timer.close { closed += 1 }
        timer.close()
        while !timer.isClosed { loop.run(.noWait) }
        #expect(closed == 1)
        #expect(loop.openHandles().isEmpty)
        #expect(loop.close())
    }

    @Test func aTimerThatIsStoppedIsNotActive() throws {
        let loop = try UVLoop()
        var fired = 0
        let timer = try UVTimer(loop: loop) { _ in fired += 1 }
        timer.start(milliseconds: 0)
        #expect(timer.isActive)
        timer.stop()
        #expect(!timer.isActive)
        timer.start(milliseconds: 0)
        loop.run(.noWait)
        #expect(fired == 1)
        timer.close()
        loop.run(.noWait)
        #expect(loop.close())
    }

    @Test func aPassThatFiredATimerDoesNotWaitForTheNextOne() throws {
        let loop = try UVLoop()
        var fired = 0
        let due = try UVTimer(loop: loop) { _ in fired += 1 }
        let later = try UVTimer(loop: loop) { _ in fired += 1 }
        due.start(milliseconds: 0)
        later.start(milliseconds: 3_600_000)
        loop.run(.once)
        #expect(fired == 1)
        for timer in [due, later] { timer.close() }
        loop.run(.noWait)
        #expect(loop.close())
    }
}

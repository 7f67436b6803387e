;; Logs something good, then something beyond its memory, then something good again.
(module
  (import "footloose" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "good")
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (call $log (i32.const 0) (i32.const 4))
    (call $log (i32.const 65530) (i32.const 10))
    (call $log (i32.const 0) (i32.const 4))
    (i64.const 0)))

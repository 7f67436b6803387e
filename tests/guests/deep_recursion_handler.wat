;; Calls itself until the stack is used up.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (func $deeper (param i64) (result i64)
    (i64.add (i64.const 1) (call $deeper (i64.add (i64.const 1) (local.get 0)))))
  (func (export "footloose_handle") (param i32 i32) (result i64) (call $deeper (i64.const 0))))

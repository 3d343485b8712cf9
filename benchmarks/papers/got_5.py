"""GOT, Table 5: MNIST, other costs of features and labels."""

from benchmarks.papers.adversarial import table_of
from benchmarks.transport.recipes import COSTS

TABLE = table_of("MNIST, other costs of features and labels (GOT, Table 5)", COSTS)
